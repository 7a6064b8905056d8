//! Which password is checked next.
//!
//! Each waits once, however many ask for it. Networks take turns. Of one network, what was
//! asked for again comes before what was asked for once, as scrapers repeat their password
//! and guessers do not; then the oldest comes first.

use std::collections::VecDeque;

use super::Digest;
use crate::server::connections::ClientNetwork;

/// How many passwords may wait.
pub(super) const MOST: usize = 256;

/// How many of them may be of one network.
pub(super) const MOST_OF_ONE: usize = 64;

/// How many refused passwords are recognized when they are asked for again, at the most.
const RECOGNIZED: usize = 1 << 17;

/// Passwords that wait, each with what it takes to check it.
pub(super) struct Queue<T> {
    /// The networks that have some, in the order of their turns.
    lines: VecDeque<Line<T>>,
    refused: Refused,
}

struct Line<T> {
    network: ClientNetwork,
    /// In the order in which they were asked for.
    entries: Vec<QueueEntry<T>>,
}

struct QueueEntry<T> {
    digest: Digest,
    again: bool,
    check: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            lines: VecDeque::new(),
            refused: Refused(Vec::new()),
        }
    }

    /// The check of a password that waits, which is asked for again by this.
    pub(super) fn ask_again(&mut self, digest: &Digest) -> Option<&T> {
        let mut entries = self.lines.iter_mut().flat_map(|line| &mut line.entries);
        let entry = entries.find(|entry| entry.digest == *digest)?;
        entry.again = true;
        Some(&entry.check)
    }

    /// Lets a password of `network` wait that does not yet. Returns whether it does now;
    /// for it another one may have been dropped.
    pub(super) fn push(&mut self, network: ClientNetwork, digest: Digest, check: T) -> bool {
        let again = self.refused.has(&digest);
        if !self.makes_room(network, again) {
            self.refused.add(&digest);
            return false;
        }
        let entry = QueueEntry {
            digest,
            again,
            check,
        };
        match self.lines.iter_mut().find(|line| line.network == network) {
            Some(line) => line.entries.push(entry),
            None => self.lines.push_back(Line {
                network,
                entries: vec![entry],
            }),
        }
        true
    }

    /// Whether there is room for one more of `network`, if need be because another one that
    /// was asked for once is dropped: of the same network for one that is asked for again,
    /// or of the network that has most.
    fn makes_room(&mut self, network: ClientNetwork, again: bool) -> bool {
        let of = |line: &Line<T>| line.entries.len();
        let own = self.lines.iter().find(|line| line.network == network);
        let own = own.map_or(0, of);
        if own < MOST_OF_ONE && self.lines.iter().map(of).sum::<usize>() < MOST {
            return true;
        }
        let Some(longest) = self.lines.iter_mut().max_by_key(|line| line.entries.len()) else {
            return false;
        };
        let line = if again && own > 0 {
            self.lines.iter_mut().find(|line| line.network == network)
        } else if own < MOST_OF_ONE && own + 1 < longest.entries.len() {
            Some(longest)
        } else {
            None
        };
        let Some(line) = line else {
            return false;
        };
        let Some(newest) = line.entries.iter().rposition(|entry| !entry.again) else {
            return false;
        };
        let dropped = line.entries.remove(newest);
        self.refused.add(&dropped.digest);
        true
    }

    /// Takes what is to be checked next.
    pub(super) fn next(&mut self) -> Option<(Digest, T)> {
        let mut line = self.lines.pop_front()?;
        let again = line.entries.iter().position(|entry| entry.again);
        let entry = line.entries.remove(again.unwrap_or(0));
        if !line.entries.is_empty() {
            self.lines.push_back(line);
        }
        Some((entry.digest, entry.check))
    }
}

/// Passwords that were refused. A new one may take the place of an old one.
struct Refused(Vec<u32>);

impl Refused {
    fn has(&self, digest: &Digest) -> bool {
        let (index, mark) = Self::place(digest);
        self.0.get(index) == Some(&mark)
    }

    fn add(&mut self, digest: &Digest) {
        // NegotiationCache is taken only once somebody is refused.
        self.0.resize(RECOGNIZED, 0);
        let (index, mark) = Self::place(digest);
        if let Some(place) = self.0.get_mut(index) {
            *place = mark;
        }
    }

    /// Where it is kept, and what tells it from others.
    fn place(digest: &Digest) -> (usize, u32) {
        let [a, b, c, d, e, f, g, h, ..] = *digest;
        let index = u32::from_be_bytes([a, b, c, d]) as usize % RECOGNIZED;
        (index, u32::from_be_bytes([e, f, g, h]).max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn network(number: u8) -> ClientNetwork {
        IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    fn digest(number: u32) -> Digest {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest[4..8].copy_from_slice(&number.to_be_bytes());
        digest
    }

    fn order(queue: &mut Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.next())
            .map(|(_, check)| check)
            .collect()
    }

    #[test]
    fn networks_take_turns_and_what_is_asked_again_comes_first() {
        let mut queue = Queue::new();
        for (of, number) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31)] {
            assert!(queue.push(network(of), digest(number), number));
        }
        assert_eq!(queue.ask_again(&digest(12)), Some(&12));
        assert_eq!(queue.ask_again(&digest(13)), None);
        assert_eq!(order(&mut queue), [12, 20, 30, 10, 31, 11]);
    }

    #[test]
    fn what_was_refused_and_comes_again_takes_the_place_of_what_was_asked_once() {
        let mut queue = Queue::new();
        for number in 0..64 {
            assert!(queue.push(network(1), digest(number), number));
        }
        assert!(!queue.push(network(1), digest(99), 99));
        assert!(queue.push(network(2), digest(100), 100), "another network");
        assert!(queue.push(network(1), digest(99), 99));
        let order = order(&mut queue);
        assert_eq!(order[..3], [99, 100, 0]);
        assert!(!order.contains(&63), "the newest has made room");
        assert_eq!(order.len(), MOST_OF_ONE + 1);
    }

    #[test]
    fn what_waits_is_bounded_and_the_network_with_most_makes_room() {
        let mut queue = Queue::new();
        let mut number = 0;
        for of in 0..200 {
            for _ in 0..100 {
                number += 1;
                queue.push(network(of), digest(number), u32::from(of));
            }
        }
        let all = order(&mut queue);
        assert_eq!(all.len(), MOST);
        for of in 0..200 {
            let of_one = all.iter().filter(|one| **one == of).count();
            assert!((1..=MOST_OF_ONE).contains(&of_one), "{of}: {of_one}");
        }
    }
}
