use super::*;

const TARGET: NodeId = NodeId([0; 20]);

/// A node at this distance, in a network of its own.
fn node(distance: u8) -> (NodeId, SocketAddr) {
    let mut id = TARGET;
    id.0[0] = distance;
    (id, SocketAddr::from(([80, 1, distance, 1], 1)))
}

fn walk(known: impl IntoIterator<Item = u8>) -> Traversal {
    let mut walk = Traversal::new(Family::V4, TARGET, 1, true);
    for distance in known {
        let (id, addr) = node(distance);
        assert!(walk.add(Some(id), addr, 1));
    }
    walk
}

/// Asks as many as it may; their distances.
fn ask_all(walk: &mut Traversal) -> Vec<u8> {
    let mut asked = Vec::new();
    while let Step::Ask(at) = walk.step() {
        asked.push(walk.ask(at).id.map_or(0xff, |id| id.0[0]));
        walk.check_invariants();
    }
    asked
}

fn answer(walk: &mut Traversal, distance: u8) {
    let (id, addr) = node(distance);
    assert!(walk.answered(&addr, id, Some(b"token"), false).is_some());
}

#[test]
fn the_closest_are_asked_and_so_many_at_once() {
    let mut walk = walk([9, 3, 7, 1, 5, 8]);
    assert_eq!(ask_all(&mut walk), [1, 3, 5, 7]);
    assert_eq!(walk.step(), Step::Wait);
    answer(&mut walk, 3);
    let (id, addr) = node(2);
    assert!(walk.add(Some(id), addr, 2));
    assert!(!walk.add(Some(id), addr, 2), "known");
    assert_eq!(ask_all(&mut walk), [2]);
    walk.slow(&node(1).1);
    assert_eq!(ask_all(&mut walk), [8], "who is slow makes room");
}

#[test]
fn it_is_complete_when_the_closest_have_answered() {
    let mut walk = walk(1..=20);
    for _ in 0..K {
        ask_all(&mut walk);
        let next =
            walk.candidates.iter().find(|c| c.state == State::Asked { slow: false }).unwrap().id.unwrap().0
                [0];
        if next == 2 {
            walk.failed(&node(2).1);
        } else {
            answer(&mut walk, next);
        }
    }
    assert_ne!(walk.step(), Step::Complete, "seven answered");
    for next in [8, 9] {
        ask_all(&mut walk);
        if walk.candidates.iter().any(|c| c.is_asked_at(&node(next).1)) {
            answer(&mut walk, next);
        }
    }
    assert_eq!(walk.step(), Step::Complete, "others in flight are farther");
    let closest: Vec<u8> = walk.closest_contacts().map(|contact| contact.id.0[0]).collect();
    assert_eq!(closest, [1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(walk.hops(), 1);
}

#[test]
fn late_answers_are_waited_for_as_long_as_there_are_few() {
    let mut few = walk([1, 2]);
    ask_all(&mut few);
    few.slow(&node(1).1);
    few.slow(&node(2).1);
    assert_eq!(few.step(), Step::Wait, "everybody is slow");
    answer(&mut few, 2);
    assert_eq!(few.step(), Step::Wait);
    few.failed(&node(1).1);
    assert_eq!(few.step(), Step::Complete, "no more will come");
    let mut many = walk(1..=9);
    ask_all(&mut many);
    many.slow(&node(1).1);
    for next in 2..=9 {
        assert_ne!(many.step(), Step::Complete, "{next}");
        ask_all(&mut many);
        answer(&mut many, next);
    }
    assert_eq!(many.step(), Step::Complete, "eight have answered");
}

#[test]
fn what_liars_say_hides_nobody() {
    let mut walk = Traversal::new(Family::V4, TARGET, 1, true);
    let (id, addr) = node(1);
    assert!(walk.add(Some(node(200).0), addr, 1), "a liar");
    assert!(walk.add(Some(node(9).0), node(9).1, 1));
    assert!(!walk.add(Some(id), addr, 2), "it is known");
    assert!(!walk.add(Some(node(100).0), addr, 2) && !walk.add(None, addr, 2), "farther");
    assert_eq!(ask_all(&mut walk), [1, 9], "by the closest id that it is said to have");
    assert!(!walk.add(Some(TARGET), addr, 2), "it is asked already");
    assert_eq!(walk.candidates[0].id, Some(id));
}

#[test]
fn the_dead_take_no_places_of_the_living() {
    let mut walk = Traversal::new(Family::V4, TARGET, 1, true);
    let neighbour = |n: u8| SocketAddr::from(([80, 1, 1, n], 1));
    for n in 1..=10 {
        assert!(walk.add(Some(node(n).0), neighbour(n), 1), "{n}");
        assert_eq!(ask_all(&mut walk), [n]);
        walk.failed(&neighbour(n));
        assert!(!walk.add(Some(TARGET), neighbour(n), 1), "not once more");
        walk.check_invariants();
    }
    for n in 0..=u8::try_from(MAX_CANDIDATES).unwrap() {
        assert!(walk.add(Some(node(50).0), SocketAddr::from(([81, 1, n, 1], 1)), 1));
    }
    assert_eq!(walk.candidates.len(), MAX_CANDIDATES);
}

#[test]
fn one_network_is_one_voice() {
    let mut walk = walk(40..=60);
    for n in 0..200u8 {
        let mut id = TARGET;
        id.0[1] = n + 1;
        walk.add(Some(id), SocketAddr::from(([66, 6, 6, n], 6)), 2);
    }
    let hostile = walk.candidates.iter().filter(|c| c.addr.port() == 6);
    assert_eq!(hostile.count(), MAX_CANDIDATES_PER_SUBNET);
    let asked = ask_all(&mut walk);
    assert_eq!(asked, [0, 40, 41, 42], "one of them is asked at a time");
    let first = walk.candidates[0].addr;
    walk.failed(&first);
    assert_eq!(ask_all(&mut walk), [0], "another one when the first is gone");
    let second = walk.candidates[0].addr;
    walk.answered(&second, walk.candidates[0].id.unwrap(), Some(b"token"), false);
    loop {
        ask_all(&mut walk);
        if walk.step() == Step::Complete {
            break;
        }
        let next =
            walk.candidates.iter().find(|c| c.state == State::Asked { slow: false }).unwrap().id.unwrap().0
                [0];
        answer(&mut walk, next);
    }
    let closest: Vec<u8> = walk.closest_contacts().map(|contact| contact.id.0[0]).collect();
    assert_eq!(closest, [0, 40, 41, 42, 43, 44, 45, 46]);
    assert_eq!(walk.closest(|c| c.token.is_some()).count(), 8, "those that can store");
}

#[test]
fn an_id_is_what_the_node_itself_says() {
    let mut walk = walk([1, 9]);
    walk.add(None, SocketAddr::from(([80, 2, 2, 2], 2)), 1);
    assert_eq!(ask_all(&mut walk), [1, 9, 0xff]);
    let far = NodeId([0xee; 20]);
    walk.answered(&node(1).1, far, None, false);
    assert_eq!(walk.answered(&node(1).1, far, None, false), None, "once");
    let hop = walk.answered(&SocketAddr::from(([80, 2, 2, 2], 2)), node(3).0, None, false).unwrap();
    assert_eq!((hop.id, hop.distance_bits), (Some(node(3).0), Some(154)));
    let order: Vec<u8> = walk.candidates.iter().map(|c| c.id.unwrap().0[0]).collect();
    assert_eq!(order, [3, 9, 0xee]);
    walk.check_invariants();
}

#[test]
fn candidates_are_bounded() {
    let mut walk = Traversal::new(Family::V4, TARGET, 1, true);
    for n in 0..1000u16 {
        let [high, low] = n.to_be_bytes();
        let mut id = TARGET;
        (id.0[0], id.0[1]) = (255 - high, low);
        walk.add(Some(id), SocketAddr::from(([80, high, low, 1], 1)), 1);
        walk.check_invariants();
    }
    assert_eq!(walk.candidates.len(), MAX_CANDIDATES);
    assert_eq!(walk.candidates[0].id.unwrap().0[0], 255 - 3, "the closest stay");
}

#[test]
fn a_lookup_asks_so_many_and_no_more() {
    let mut walk = walk([]);
    let numbered = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let mut id = TARGET;
        id.0[..2].copy_from_slice(&[high, low]);
        (id, SocketAddr::from(([80, high, low, 1], 1)))
    };
    let most = u16::try_from(MAX_LOOKUP_QUERIES).unwrap();
    for n in 0..=most {
        let (id, addr) = numbered(n);
        assert!(walk.add(Some(id), addr, 1));
        if n == most {
            assert_eq!(walk.step(), Step::Complete, "nobody else is asked");
        } else {
            assert_eq!(ask_all(&mut walk).len(), 1, "after {n}");
            walk.failed(&addr);
        }
    }
}

#[test]
fn whose_token_is_too_long_stores_nothing() {
    for (len, is_kept) in [(MAX_TOKEN_LEN, true), (MAX_TOKEN_LEN + 1, false)] {
        let mut walk = walk([1]);
        ask_all(&mut walk);
        let (id, addr) = node(1);
        walk.answered(&addr, id, Some(&[b't'; MAX_TOKEN_LEN + 1][..len]), false);
        assert_eq!(walk.candidates[0].token.is_some(), is_kept, "{len} bytes");
    }
}
