//! Sets of pieces: what any steps make of one, a plain list agrees with; and bytes from a peer are a set or refused.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use types::{Bitfield, PieceIndex};

fn check(field: &Bitfield, model: &[bool]) {
    assert_eq!(field.len() as usize, model.len());
    let ones = |wanted: bool| {
        let places = model.iter().enumerate().filter(move |(_, bit)| **bit == wanted);
        places.map(|(at, _)| PieceIndex::new(at as u32))
    };
    assert!(field.ones().eq(ones(true)) && field.zeros().eq(ones(false)));
    assert_eq!(field.count_ones() as usize, ones(true).count());
    assert_eq!(field.is_full(), ones(false).count() == 0);
    assert_eq!(Bitfield::from_wire(field.as_bytes(), field.len()).as_ref(), Some(field));
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let len = u32::from(parts.u16() % 200);
    let wire = parts.bytes();
    match Bitfield::from_wire(wire, len) {
        Some(field) => assert_eq!(field.as_bytes(), wire),
        None => {
            let spare = wire.len() as u32 * 8;
            let is_long = wire.len() as u32 == len.div_ceil(8);
            let sets_spare = (len..spare).any(|bit| wire[bit as usize / 8] & 0x80 >> (bit % 8) != 0);
            assert!(!is_long || sets_spare);
        }
    }
    let mut fields = [Bitfield::new(len), Bitfield::full(len)];
    let mut models = [vec![false; len as usize], vec![true; len as usize]];
    while !parts.is_empty() {
        let (what, piece) = (parts.byte(), PieceIndex::new(parts.byte().into()));
        let which = usize::from(what & 1);
        let (field, model) = (&mut fields[which], &mut models[which]);
        let there = model.get(piece.index()).copied();
        assert_eq!(field.contains(piece), there == Some(true));
        let inserts = what & 2 == 0;
        if there.is_some() {
            let changed = if inserts { field.insert(piece) } else { field.remove(piece) };
            assert_eq!(changed, there != Some(inserts));
            model[piece.index()] = inserts;
        }
    }
    for (field, model) in fields.iter().zip(&models) {
        check(field, model);
    }
    let more = models[0].iter().zip(&models[1]).any(|(one, other)| *one && !other);
    assert_eq!(fields[0].has_any_not_in(&fields[1]), more);
    plant(|| more && fields[0].count_ones() == 3 && len > 64);
});
