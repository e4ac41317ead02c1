//! Many messages at once: which of them go together, and how far.

use core::array;

use crate::algorithm::{self, Algorithm};
use crate::kernel::{Cpu, Group, Kernel, MAX_LANES};
use crate::state::{State, pad};
use crate::{BLOCK_LEN, Block};

/// How messages are put into lanes.
///
/// Up to sixteen messages are under way at a time; when one ends, the next takes its place. Before each run of blocks
/// their number decides how many of them the run takes, to the end of the shortest:
///
/// | under way | with SHA-NI | with AVX2 or AVX-512 only |
/// |---|---|---|
/// | 1 | the crates | the crates |
/// | 2 | SHA-NI x2 | AVX2 x8 |
/// | 3, 5 | SHA-NI x3 | AVX2 x8 |
/// | 4, 6 or more | SHA-NI x4 | AVX2 x8 |
/// | 9 or more | or AVX-512 x16, see below | AVX-512 x16, if there |
///
/// Beside SHA-NI, AVX-512 pays for SHA-1 from 9 messages on, for SHA-256 from 12 on, if the CPU takes 512 bits in one
/// step. Zen 4 and some Zen 5 say that they take two: there from 13 on for SHA-1, and never for SHA-256.
///
/// Intel's SHA-NI gains nothing from more than two messages (three if there are three). There AVX-512 pays for SHA-1 from
/// 6 messages on, for SHA-256 from 9 on, and AVX2 for SHA-1 from 6 on where there is no AVX-512.
///
/// On other architectures the crates take all messages, one by one, with the instructions that they know there.
/// [`only`](Lanes::only) is for tests and benchmarks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lanes {
    only: Option<Kernel>,
}

impl Lanes {
    /// One kernel for all, however few messages there are; `None` where the CPU lacks it.
    pub fn only(kernel: Kernel) -> Option<Lanes> {
        kernel.is_available().then_some(Lanes { only: Some(kernel) })
    }

    /// What takes the next blocks of so many SHA-1s under way.
    pub fn sha1_kernel(self, messages: usize) -> Kernel {
        self.kernel::<algorithm::Sha1>(messages)
    }

    /// What takes the next blocks of so many SHA-256s under way.
    pub fn sha256_kernel(self, messages: usize) -> Kernel {
        self.kernel::<algorithm::Sha256>(messages)
    }

    /// See [`sha1_many`](crate::sha1_many).
    pub fn sha1_many<'a>(self, messages: impl IntoIterator<Item = (&'a [u8], &'a mut [u8; 20])>) {
        self.digest_many::<algorithm::Sha1>(messages);
    }

    /// See [`sha256_many`](crate::sha256_many).
    pub fn sha256_many<'a>(self, messages: impl IntoIterator<Item = (&'a [u8], &'a mut [u8; 32])>) {
        self.digest_many::<algorithm::Sha256>(messages);
    }

    /// See [`State::update_many`].
    pub fn update_many<'a, A: Algorithm>(
        self,
        states: impl IntoIterator<Item = (&'a mut State<A>, &'a [u8])>,
    ) {
        self.run(&mut states.into_iter().map(|(state, bytes)| state.lane(bytes)));
    }

    fn digest_many<'a, A: Algorithm>(
        self,
        messages: impl IntoIterator<Item = (&'a [u8], &'a mut A::Digest)>,
    ) {
        self.run(&mut messages.into_iter().map(|(message, digest)| Lane::<A>::whole(message, digest)));
    }

    fn kernel<A: Algorithm>(self, messages: usize) -> Kernel {
        self.only.unwrap_or_else(|| Kernel::best(Cpu::this(), &A::VECTORS_FROM, messages))
    }

    fn run<'a, A: Algorithm>(self, waiting: &mut dyn Iterator<Item = Lane<'a, A>>) {
        let mut lanes: Group<Lane<'a, A>> = array::from_fn(|_| Lane::idle());
        let mut live = 0;
        loop {
            while let Some(idle) = lanes.get_mut(live)
                && let Some(next) = waiting.next()
            {
                *idle = next;
                // Some bytes fill no block: then there is nothing to do.
                live += usize::from(!idle.blocks().is_empty());
            }
            if live == 0 {
                return;
            }
            let kernel = self.kernel::<A>(live);
            let running = live.min(kernel.lanes());
            advance(kernel, &mut lanes[..running]);
            for at in (0..running).rev() {
                if lanes[at].blocks().is_empty() {
                    lanes[at].finish();
                    live -= 1;
                    lanes.swap(at, live);
                }
            }
        }
    }
}

/// Takes as many blocks of each lane as the shortest has. Lanes of the kernel beyond these, at least one, repeat the
/// first for nobody.
fn advance<A: Algorithm>(kernel: Kernel, lanes: &mut [Lane<'_, A>]) {
    let count = lanes.iter().map(|lane| lane.blocks().len()).min().unwrap_or(0);
    let mut words = [A::START; MAX_LANES];
    let mut blocks = [&lanes[0].blocks()[..count]; MAX_LANES];
    for (at, lane) in lanes.iter().enumerate() {
        words[at] = lane.words;
        blocks[at] = &lane.blocks()[..count];
    }
    A::compress_lanes(kernel, &mut words, &blocks);
    for (lane, words) in lanes.iter_mut().zip(words) {
        lane.words = words;
        lane.skip(count);
    }
}

/// One message under way: first the blocks at its front, then those within its bytes, then those at its back. A whole
/// message has its padding at the back; one that goes on may have a block at the front that was begun before.
pub(crate) struct Lane<'a, A: Algorithm> {
    words: A::Words,
    own: [Block; 2],
    /// Which of its own blocks are left.
    own_at: usize,
    own_end: usize,
    own_first: bool,
    body: &'a [Block],
    result: Result<'a, A>,
}

/// Who waits for it.
enum Result<'a, A: Algorithm> {
    Nobody,
    Digest(&'a mut A::Digest),
    Words(&'a mut A::Words),
}

impl<'a, A: Algorithm> Lane<'a, A> {
    fn idle() -> Lane<'a, A> {
        Lane {
            words: A::START,
            own: [[0; BLOCK_LEN]; 2],
            own_at: 0,
            own_end: 0,
            own_first: false,
            body: &[],
            result: Result::Nobody,
        }
    }

    /// A message from its first byte to its last. A short one is copied, so that it is one run and not two.
    fn whole(message: &'a [u8], digest: &'a mut A::Digest) -> Lane<'a, A> {
        let short = message.len() <= 2 * BLOCK_LEN - 9;
        let (body, end) = if short { (&[][..], message) } else { message.as_chunks() };
        let (own, own_end) = pad(end, message.len() as u64);
        Lane { own, own_end, body, result: Result::Digest(digest), ..Lane::idle() }
    }

    /// More of a message that goes on.
    pub(crate) fn on(words: &'a mut A::Words, first: Option<Block>, body: &'a [Block]) -> Lane<'a, A> {
        let own_end = usize::from(first.is_some());
        let own = [first.unwrap_or([0; BLOCK_LEN]), [0; BLOCK_LEN]];
        Lane {
            words: *words,
            own,
            own_end,
            own_first: true,
            body,
            result: Result::Words(words),
            ..Lane::idle()
        }
    }

    /// The next ones that lie together; none at its end.
    fn blocks(&self) -> &[Block] {
        let own = &self.own[self.own_at..self.own_end];
        let own_next = if self.own_first { !own.is_empty() } else { self.body.is_empty() };
        if own_next { own } else { self.body }
    }

    /// Leaves out so many of [`blocks`](Lane::blocks).
    fn skip(&mut self, count: usize) {
        let own_next = if self.own_first { self.own_at < self.own_end } else { self.body.is_empty() };
        if own_next {
            self.own_at += count;
        } else {
            self.body = &self.body[count..];
        }
    }

    fn finish(&mut self) {
        match &mut self.result {
            Result::Nobody => {}
            Result::Digest(digest) => **digest = A::digest(&self.words),
            Result::Words(words) => **words = self.words,
        }
    }
}
