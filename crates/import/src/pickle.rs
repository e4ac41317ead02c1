//! What Python has pickled, as data: nothing that it names is looked up, called or made.
//!
//! Protocols 2 to 4 in their binary form, without recursion. A value is its number in a list; lists and dictionaries name
//! their members by numbers, so that what contains itself is no trouble to who reads it to a fixed depth.

use crate::limits::{MAX_PICKLE, MAX_PICKLE_VALUES};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A value, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// None, sets, classes: nothing that is asked for.
    Other,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Lists and tuples.
    List(Vec<u32>),
    Dict(Vec<(u32, u32)>),
    /// An object, and what it was given as its state.
    Object(Option<u32>),
}

/// All values of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle {
    values: Vec<Value>,
    root: u32,
}

/// One of them.
#[derive(Clone, Copy)]
pub(crate) struct Node<'p> {
    pickle: &'p Pickle,
    value: &'p Value,
}

/// Why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// It breaks the rules of the format, or ends too soon.
    Damaged,
    /// It is in the form of text that Python 2 wrote.
    Text,
    TooLarge,
}

impl Pickle {
    /// Reads a pickle; bytes after its end do not count.
    pub(crate) fn read(bytes: &[u8]) -> Result<Pickle, Error> {
        match bytes.first() {
            _ if bytes.len() > MAX_PICKLE => return Err(Error::TooLarge),
            Some(0x80) => {}
            Some(b'(' | b'c') => return Err(Error::Text),
            _ => return Err(Error::Damaged),
        }
        let mut reader = Reader { rest: bytes, ..Reader::default() };
        while reader.step()? {}
        let root = reader.pop()?;
        Ok(Pickle { values: reader.values, root })
    }

    pub(crate) fn root(&self) -> Node<'_> {
        self.node(self.root)
    }

    fn node(&self, number: u32) -> Node<'_> {
        Node { pickle: self, value: self.values.get(number as usize).unwrap_or(&Value::Other) }
    }
}

impl<'p> Node<'p> {
    /// An attribute of an object, or the value of a dictionary under a key.
    pub(crate) fn get(self, key: &str) -> Option<Node<'p>> {
        let entries = match self.value {
            Value::Object(state) => match self.pickle.node((*state)?).value {
                Value::Dict(entries) => entries,
                _ => return None,
            },
            Value::Dict(entries) => entries,
            _ => return None,
        };
        let found = entries.iter().rev().find(|(name, _)| self.pickle.node(*name).text() == Some(key));
        found.map(|&(_, value)| self.pickle.node(value))
    }

    pub(crate) fn list(self) -> impl Iterator<Item = Node<'p>> {
        let members = match self.value {
            Value::List(members) => members.as_slice(),
            _ => &[],
        };
        members.iter().map(move |&member| self.pickle.node(member))
    }

    pub(crate) fn text(self) -> Option<&'p str> {
        match self.value {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) => core::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(crate) fn flag(self) -> Option<bool> {
        match *self.value {
            Value::Bool(flag) => Some(flag),
            Value::Int(number) => Some(number != 0),
            _ => None,
        }
    }

    pub(crate) fn int(self) -> Option<i64> {
        match *self.value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn float(self) -> Option<f64> {
        match *self.value {
            Value::Float(number) => Some(number),
            // What people choose is far below 2^53.
            Value::Int(number) => i32::try_from(number).ok().map(f64::from),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Reader<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<u32>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: BTreeMap<u32, u32>,
    next_memo: u32,
}

impl<'a> Reader<'a> {
    /// Carries out one instruction; says whether there are more.
    fn step(&mut self) -> Result<bool, Error> {
        let [code] = self.array()?;
        match code {
            b'.' => return Ok(false),
            0x80 => drop(self.array::<1>()?),
            0x95 => drop(self.array::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push_number(top)?;
            }
            b'N' | 0x8f => self.push(Value::Other)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' | b'K' | b'M' | 0x8a => self.int(code)?,
            b'G' => {
                let number = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(number))?;
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e => self.string(code)?,
            b']' | b')' => self.push(Value::List(Vec::new()))?,
            b'l' | b't' => {
                let members = self.since_mark()?;
                self.push(Value::List(members))?;
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or(Error::Damaged)?;
                let members = self.stack.split_off(from);
                self.push(Value::List(members))?;
            }
            b'a' => {
                let member = self.pop()?;
                self.append(&[member])?;
            }
            b'e' => {
                let members = self.since_mark()?;
                self.append(&members)?;
            }
            0x90 => drop(self.since_mark()?),
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'd' => {
                let members = self.since_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&members)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let members = self.since_mark()?;
                self.set(&members)?;
            }
            b'c' => {
                // The names of a module and of something in it.
                self.line()?;
                self.line()?;
                self.push(Value::Other)?;
            }
            0x93 => {
                self.pop()?;
                self.pop()?;
                self.push(Value::Other)?;
            }
            // Something would be called or made here.
            b'R' | 0x81 => {
                self.pop()?;
                self.pop()?;
                self.push(Value::Object(None))?;
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                if let Some(Value::Object(has)) = self.values.get_mut(object as usize) {
                    *has = Some(state);
                }
            }
            b'q' | b'r' | 0x94 => self.memorize(code)?,
            b'h' | b'j' => self.recall(code)?,
            _ => return Err(Error::Damaged),
        }
        Ok(true)
    }

    fn int(&mut self, code: u8) -> Result<(), Error> {
        let number = match code {
            b'J' => i32::from_le_bytes(self.array()?).into(),
            b'K' => u8::from_le_bytes(self.array()?).into(),
            b'M' => u16::from_le_bytes(self.array()?).into(),
            // Of any length; those that need more than 64 bits are nothing that is asked for.
            _ => {
                let [len] = self.array()?;
                let bytes = self.take(usize::from(len))?;
                let filler = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
                let mut wide = [filler; 8];
                let Some(low) = wide.get_mut(..bytes.len()) else { return self.push(Value::Other) };
                low.copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        };
        self.push(Value::Int(number))
    }

    fn string(&mut self, code: u8) -> Result<(), Error> {
        let len: u64 = match code {
            0x8c | b'U' | b'C' => u8::from_le_bytes(self.array()?).into(),
            b'X' | b'T' | b'B' => u32::from_le_bytes(self.array()?).into(),
            _ => u64::from_le_bytes(self.array()?),
        };
        let bytes = self.take(usize::try_from(len).map_err(|_| Error::Damaged)?)?;
        let is_text = matches!(code, b'X' | 0x8c | 0x8d);
        // Names that are no UTF-8 have surrogates in them; what is left of those is still a name.
        let text = || Value::Text(String::from_utf8_lossy(bytes).into_owned());
        self.push(if is_text { text() } else { Value::Bytes(bytes.to_owned()) })
    }

    fn memorize(&mut self, code: u8) -> Result<(), Error> {
        let place = match code {
            b'q' => u8::from_le_bytes(self.array()?).into(),
            b'r' => u32::from_le_bytes(self.array()?),
            _ => self.next_memo,
        };
        let top = self.top()?;
        self.memo.insert(place, top);
        self.next_memo = self.next_memo.wrapping_add(1);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), Error> {
        let place = match code {
            b'h' => u8::from_le_bytes(self.array()?).into(),
            _ => u32::from_le_bytes(self.array()?),
        };
        let number = *self.memo.get(&place).ok_or(Error::Damaged)?;
        self.push_number(number)
    }

    fn append(&mut self, members: &[u32]) -> Result<(), Error> {
        let list = self.top()?;
        match self.values.get_mut(list as usize) {
            Some(Value::List(list)) => list.extend_from_slice(members),
            _ => return Err(Error::Damaged),
        }
        Ok(())
    }

    /// Keys and values by turns.
    fn set(&mut self, members: &[u32]) -> Result<(), Error> {
        let dict = self.top()?;
        let (pairs, []) = members.as_chunks() else { return Err(Error::Damaged) };
        match self.values.get_mut(dict as usize) {
            Some(Value::Dict(entries)) => entries.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err(Error::Damaged),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<(), Error> {
        if self.values.len() >= MAX_PICKLE_VALUES {
            return Err(Error::TooLarge);
        }
        let number = u32::try_from(self.values.len()).map_err(|_| Error::TooLarge)?;
        self.values.push(value);
        self.push_number(number)
    }

    /// Each takes a byte of the input at least, so that there are never more than that.
    fn push_number(&mut self, number: u32) -> Result<(), Error> {
        self.stack.push(number);
        Ok(())
    }

    /// What is above a mark is out of reach until the mark is gone.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<u32, Error> {
        if self.stack.len() <= self.floor() {
            return Err(Error::Damaged);
        }
        self.stack.pop().ok_or(Error::Damaged)
    }

    fn top(&self) -> Result<u32, Error> {
        self.stack.get(self.floor()..).and_then(<[u32]>::last).copied().ok_or(Error::Damaged)
    }

    fn since_mark(&mut self) -> Result<Vec<u32>, Error> {
        let mark = self.marks.pop().ok_or(Error::Damaged)?;
        if mark > self.stack.len() {
            return Err(Error::Damaged);
        }
        Ok(self.stack.split_off(mark))
    }

    fn line(&mut self) -> Result<&'a [u8], Error> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or(Error::Damaged)?;
        let line = self.take(end)?;
        self.take(1)?;
        Ok(line)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (&array, rest) = self.rest.split_first_chunk().ok_or(Error::Damaged)?;
        self.rest = rest;
        Ok(array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Error::Damaged)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_python_wrote() {
        // pickle.dumps({"a": [1, -2, 70000, 2**40], "b": (True, 2.5, b"x", None)}, protocol=4)
        let bytes = b"\x80\x04\x95\x3b\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\
            \x8a\x06\x00\x00\x00\x00\x00\x01e\x8c\x01b\x94(\x88G@\x04\x00\x00\x00\x00\x00\x00C\x01x\x94Nt\x94u.";
        let pickle = Pickle::read(bytes).unwrap();
        let numbers: Vec<_> = pickle.root().get("a").unwrap().list().map(Node::int).collect();
        assert_eq!(numbers, [Some(1), Some(-2), Some(70_000), Some(1 << 40)]);
        let others: Vec<_> = pickle.root().get("b").unwrap().list().collect();
        assert_eq!(
            (others[0].flag(), others[1].float(), others[2].text()),
            (Some(true), Some(2.5), Some("x"))
        );
        assert!(others[3].text().is_none() && pickle.root().get("c").is_none());
        for end in 0..bytes.len() - 1 {
            assert_eq!(Pickle::read(&bytes[..end]).err(), Some(Error::Damaged), "cut at {end}");
        }
    }

    #[test]
    fn nothing_is_called() {
        // os.system("touch /tmp/x"), as pickles that do harm have it.
        let pickle = Pickle::read(b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch /tmp/x\x85R.").unwrap();
        assert_eq!(pickle.root().value, &Value::Object(None));
    }

    #[test]
    fn what_contains_itself_is_read() {
        let pickle = Pickle::read(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert_eq!(pickle.root().list().next().unwrap().list().count(), 1);
        let pickle = Pickle::read(b"\x80\x02c\n\n)\x81q\x00h\x00b.").unwrap();
        assert!(pickle.root().get("a").is_none());
    }

    #[test]
    fn text_and_other_things_are_refused() {
        assert_eq!(Pickle::read(b"(dp0\n.").err(), Some(Error::Text));
        for bytes in [
            &b""[..],
            b"x",
            b"\x80\x02",
            b"\x80\x02.",
            b"\x80\x02e.",
            b"\x80\x02Na.",
            b"\x80\x02h\x00.",
            b"\x80\x02}(Nu.",
            b"\x80\x02(.",
            b"\x80\x02\x85.",
            b"\x80\x02?.",
            b"\x80\x02N(0.",
            b"\x80\x02N((",
        ] {
            assert_eq!(Pickle::read(bytes).err(), Some(Error::Damaged), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn size_is_bounded() {
        let mut large = std::vec![b'N'; MAX_PICKLE_VALUES + 3];
        large[..2].copy_from_slice(b"\x80\x02");
        assert_eq!(Pickle::read(&large).err(), Some(Error::TooLarge));
        *large.last_mut().unwrap() = b'.';
        assert!(Pickle::read(&large).is_ok());
        assert_eq!(Pickle::read(&std::vec![0x80; MAX_PICKLE + 1]).err(), Some(Error::TooLarge));
    }
}
