use super::*;
use core::time::Duration;
use fastrand::Rng;
use proptest::prelude::*;
use proptest::sample::Index;

const OWN: NodeId = NodeId([0; 20]);
const RULES: Rules = Rules { family: Family::V4, per_ip: 1, per_subnet: 1, enforce_ids: false };

fn table() -> Table {
    Table::new(OWN, RULES, Time::ZERO)
}

/// A node with so many leading bits in common with us, in a network of its own.
fn node(bits: usize, n: u8) -> Contact {
    let mut id = NodeId([n; 20]);
    for at in 0..=bits {
        let mask = 0x80 >> (at % 8);
        id.0[at / 8] = if at == bits { id.0[at / 8] | mask } else { id.0[at / 8] & !mask };
    }
    Contact { id, addr: SocketAddr::from(([80, u8::try_from(bits).unwrap(), n, 1], 6881)) }
}

fn held(table: &Table) -> Vec<Contact> {
    let mut all: Vec<Contact> = table.nodes(Time::ZERO).map(|(contact, _)| contact).collect();
    all.sort_unstable();
    all
}

#[test]
fn only_the_bucket_that_we_are_in_is_split() {
    let mut table = table();
    for bits in 0..4 {
        (0..12).for_each(|n| table.answered(Time::ZERO, node(bits, n)));
        table.check_invariants();
    }
    let sizes: Vec<usize> = table.buckets.iter().map(|bucket| bucket.nodes.len()).collect();
    assert_eq!(sizes, [12, 12, 12, 12, 0], "each in its time was next to the last one");
    (20..40).for_each(|n| table.answered(Time::ZERO, node(3, n)));
    assert_eq!((table.buckets[3].nodes.len(), table.buckets[3].replacements.len()), (2 * K, REPLACEMENTS));
    table.answered(Time::ZERO, node(0, 20));
    assert_eq!((table.buckets[0].nodes.len(), table.buckets[0].replacements.len()), (12, 1));
    assert!(!table.wants(Time::ZERO, &node(0, 20)) && table.wants(Time::ZERO, &node(5, 20)));
}

#[test]
fn strangers_hear_nothing_of_what_is_inside() {
    let mut table = table();
    let outside = node(0, 1);
    let inside = Contact { addr: SocketAddr::from(([192, 168, 0, 9], 6881)), ..node(0, 2) };
    [outside, inside].into_iter().for_each(|node| table.answered(Time::ZERO, node));
    assert_eq!(table.closest(&OWN, K, &SocketAddr::from(([80, 9, 9, 9], 1))), [outside]);
    assert_eq!(table.closest(&OWN, K, &SocketAddr::from(([10, 0, 0, 1], 1))).len(), 2);
    assert_eq!(table.starters(&OWN, K).len(), 2, "we ourselves ask both");
}

#[test]
fn nodes_turn_questionable_then_bad() {
    let (mut table, node) = (table(), node(0, 1));
    let status = |table: &Table, now| table.nodes(now).next().unwrap().1;
    table.answered(Time::ZERO, node);
    let mut now = Time::ZERO + QUESTIONABLE_AFTER;
    assert_eq!(status(&table, Time::from_secs(1)), Status::Good);
    assert_eq!(status(&table, now), Status::Questionable);
    assert!(!table.heard(now, &node), "it is there");
    assert_eq!(status(&table, now), Status::Good, "it answered once, and asks");
    table.failed(now, &node.addr);
    assert_eq!((status(&table, now), table.closest(&OWN, K, &node.addr)), (Status::Questionable, [].into()));
    assert_eq!(table.due(now, 9), [node]);
    assert_eq!(table.due(now, 9), [], "asked just now");
    now += RECHECK_AFTER;
    assert_eq!(table.due(now, 9), [node]);
    table.failed(now, &node.addr);
    assert_eq!(status(&table, now), Status::Bad);
    assert_eq!(table.starters(&OWN, K), [node], "better than nobody");
    table.answered(now, node);
    assert_eq!(status(&table, now), Status::Good);
}

#[test]
fn a_replacement_takes_the_place_of_a_bad_node() {
    let mut table = table();
    // The ones of depth 3 make the bucket split, so that those of depth 0 have one that has eight places.
    (0..12).for_each(|n| table.answered(Time::ZERO, node(3, n)));
    (0..10).for_each(|n| table.answered(Time::ZERO, node(0, n)));
    table.failed(Time::ZERO, &node(0, 3).addr);
    assert!(held(&table).contains(&node(0, 3)), "one failure is none");
    table.failed(Time::ZERO, &node(0, 3).addr);
    assert!(
        !held(&table).contains(&node(0, 3)) && held(&table).contains(&node(0, 9)),
        "the latest one heard of"
    );
    table.failed(Time::ZERO, &node(0, 8).addr);
    assert!(table.buckets[0].replacements.is_empty(), "a replacement that fails is gone");
    (0..2).for_each(|_| table.failed(Time::ZERO, &node(0, 4).addr));
    assert!(table.wants(Time::ZERO, &node(0, 20)), "there is a bad one");
    table.answered(Time::ZERO, node(0, 20));
    assert!(held(&table).contains(&node(0, 20)) && !held(&table).contains(&node(0, 4)));
    table.check_invariants();
}

#[test]
fn one_network_does_not_fill_a_bucket() {
    let mut table = table();
    let at =
        |n: u8, addr: [u8; 4], port: u16| Contact { id: node(0, n).id, addr: SocketAddr::from((addr, port)) };
    table.answered(Time::ZERO, at(1, [80, 1, 1, 1], 1));
    for other in [at(2, [80, 1, 1, 2], 1), at(3, [80, 1, 1, 1], 2)] {
        assert!(!table.wants(Time::ZERO, &other));
        table.answered(Time::ZERO, other);
    }
    assert_eq!(held(&table).len(), 1);
    (4..8).for_each(|n| table.answered(Time::ZERO, at(n, [127, 0, 0, 1], n.into())));
    assert_eq!(held(&table).len(), 5, "any number on a local network");
    let mut wide = Table::new(OWN, Rules { per_ip: 2, per_subnet: 3, ..RULES }, Time::ZERO);
    (0..9).for_each(|n| wide.answered(Time::ZERO, at(n, [80, 1, 1, n / 4], n.into())));
    assert_eq!(held(&wide).len(), 3);
}

#[test]
fn ids_and_addresses_belong_together() {
    let mut table = table();
    table.answered(Time::ZERO, node(0, 1));
    let elsewhere = Contact { addr: node(0, 2).addr, ..node(0, 1) };
    table.answered(Time::ZERO, elsewhere);
    assert_eq!(held(&table), [node(0, 1)], "who had it first keeps it");
    table.failed(Time::ZERO, &node(0, 1).addr);
    table.answered(Time::ZERO, elsewhere);
    assert_eq!(held(&table), [elsewhere], "unless it is gone");
    let renamed = Contact { id: node(3, 7).id, ..elsewhere };
    table.answered(Time::ZERO, renamed);
    assert_eq!(held(&table), [renamed]);
    table.answered(Time::ZERO, node(0, 8));
    table.answered(Time::ZERO, Contact { id: renamed.id, ..node(0, 8) });
    assert_eq!(held(&table), [renamed], "an id of somebody else is none");
    table.answered(Time::ZERO, Contact { id: OWN, ..node(0, 9) });
    table.answered(Time::ZERO, Contact { addr: "[2001:db8::1]:1".parse().unwrap(), ..node(0, 9) });
    assert_eq!(held(&table), [renamed], "neither we nor the other family");
    let mut strict = Table::new(OWN, Rules { enforce_ids: true, ..RULES }, Time::ZERO);
    let fitting = Contact { id: crate::id_for(node(0, 5).addr.ip(), &mut Rng::with_seed(1)), ..node(0, 5) };
    [node(0, 1), fitting].iter().for_each(|contact| strict.answered(Time::ZERO, *contact));
    assert_eq!(held(&strict), [fitting]);
}

#[test]
fn stale_buckets_are_looked_into() {
    let (mut table, mut rng) = (table(), Rng::with_seed(1));
    (0..8).for_each(|n| table.answered(Time::ZERO, node(0, n)));
    table.answered(Time::from_secs(60), node(2, 1));
    let now = Time::ZERO + QUESTIONABLE_AFTER;
    let target = table.stale(now, &mut rng).unwrap();
    assert_eq!(OWN.common_bits(&target), 0);
    assert_eq!(table.stale(now, &mut rng), None);
    let target = table.stale(now + Duration::from_secs(60), &mut rng).unwrap();
    assert!(OWN.common_bits(&target) >= 1);
}

/// What a table is told in a model test.
#[derive(Clone, Debug)]
enum Told {
    Answered(Index),
    Heard(Index),
    Failed(Index),
    Later(u64),
    Moved(Index),
}

fn told() -> impl Strategy<Value = Told> {
    let index = any::<Index>;
    prop_oneof![
        6 => index().prop_map(Told::Answered),
        2 => index().prop_map(Told::Heard),
        3 => index().prop_map(Told::Failed),
        1 => (1u64..1200).prop_map(Told::Later),
        1 => index().prop_map(Told::Moved),
    ]
}

/// Nodes near us and far from us, some of which share addresses, ids or networks.
fn crowd(seed: u64) -> Vec<Contact> {
    let mut rng = Rng::with_seed(seed);
    let one = |rng: &mut Rng| {
        let id = NodeId([0x55; 20]).random_at(rng.usize(0..12), rng);
        Contact { id, addr: SocketAddr::from(([80, 1, rng.u8(0..40), rng.u8(0..2)], rng.u16(1..3))) }
    };
    (0..120).map(|_| one(&mut rng)).collect()
}

proptest! {
    /// Whatever happens: who is in the table has answered, who answered last and was not pushed out is there, those that
    /// are told to others are the closest of those that do not fail, and every bucket is as it should be.
    #[test]
    fn a_table_agrees_with_its_model(seed: u64, per_subnet in 1usize..4, steps in prop::collection::vec(told(), 1..300)) {
        let crowd = crowd(seed);
        let own = NodeId([0x55; 20]);
        let mut table = Table::new(own, Rules { per_ip: 2, per_subnet, ..RULES }, Time::ZERO);
        // What each node did: when it answered last, when it was heard of last, and how often it failed since.
        let mut model: BTreeMap<Contact, (Time, Time, u8)> = BTreeMap::new();
        let mut now = Time::ZERO;
        for step in steps {
            match step {
                Told::Answered(at) => {
                    let contact = *at.get(&crowd);
                    table.answered(now, contact);
                    model.insert(contact, (now, now, 0));
                }
                Told::Heard(at) => {
                    let contact = at.get(&crowd);
                    if table.heard(now, contact) {
                        prop_assert_ne!(table.index.get(&contact.addr), Some(&contact.id));
                    }
                    if let Some(known) = model.get_mut(contact) && table.index.get(&contact.addr) == Some(&contact.id) {
                        known.1 = now;
                    }
                }
                Told::Failed(at) => {
                    let addr = at.get(&crowd).addr;
                    table.failed(now, &addr);
                    model.iter_mut().filter(|(contact, _)| contact.addr == addr).for_each(|(_, known)| known.2 += 1);
                }
                Told::Later(secs) => now += Duration::from_secs(secs),
                Told::Moved(at) => {
                    let own = at.get(&crowd).id;
                    table.set_own(now, own);
                    prop_assert_eq!(table.own(), own);
                }
            }
            table.check_invariants();
            for (contact, status) in table.nodes(now) {
                let Some((answered, heard, failures)) = model.get(&contact) else {
                    return Err(TestCaseError::fail("somebody is there who never answered"));
                };
                let is_recent = now.since(*answered.max(heard)) < QUESTIONABLE_AFTER;
                prop_assert_eq!(status == Status::Good, is_recent && *failures == 0);
                prop_assert_eq!(status == Status::Bad, *failures >= MAX_FAILURES);
            }
            let target = crowd[model.len() % crowd.len()].id;
            let mut told: Vec<Contact> = table.nodes(now).map(|(contact, _)| contact).collect();
            told.retain(|contact| model[contact].2 == 0);
            told.sort_by_key(|contact| contact.id.distance(&target));
            told.truncate(K);
            let inside = SocketAddr::from(([127, 0, 0, 1], 1));
            prop_assert_eq!(table.closest(&target, K, &inside), told);
        }
    }
}
