//! The order of password checks.
//!
//! Each password waits once, however many clients send it. Networks take turns. Within a
//! network, passwords that were sent again come first, as scrapers repeat their password and
//! guessers do not; then the oldest comes first.

use std::collections::{HashSet, VecDeque};

use super::Digest;
use crate::server::connections::ClientNetwork;

/// The most passwords in the queue.
pub(super) const MAX: usize = 256;

/// The most passwords of one network.
pub(super) const MAX_PER_NETWORK: usize = 64;

/// The most refused passwords that are recognised when they are sent again: about 1 MB.
const MAX_REFUSED: usize = 1 << 16;

/// Passwords that wait, each with its check.
pub(super) struct Queue<T> {
    /// The networks with passwords, in the order of their turns.
    lines: VecDeque<Line<T>>,
    /// Digests of refused passwords, in part.
    refused: HashSet<u64>,
}

struct Line<T> {
    network: ClientNetwork,
    /// The oldest first.
    entries: Vec<QueueEntry<T>>,
}

struct QueueEntry<T> {
    digest: Digest,
    again: bool,
    check: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            refused: HashSet::new(),
        }
    }
}

impl<T> Queue<T> {
    /// The check of a password that waits already, and now counts as sent again.
    pub(super) fn ask_again(&mut self, digest: &Digest) -> Option<&T> {
        let mut entries = self.lines.iter_mut().flat_map(|line| &mut line.entries);
        let entry = entries.find(|entry| entry.digest == *digest)?;
        entry.again = true;
        Some(&entry.check)
    }

    /// Adds a password of `network` that does not wait yet. Returns false if the queue is
    /// full. Another password may be dropped for it.
    pub(super) fn push(&mut self, network: ClientNetwork, digest: Digest, check: T) -> bool {
        let again = self.refused.contains(&part(&digest));
        if !self.makes_room(network, again) {
            self.refuse(&digest);
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

    /// Whether there is room for a password of `network`. If need be, a password that was sent
    /// once is dropped: of the same network for a password that was sent again, else of the
    /// network with the most passwords.
    fn makes_room(&mut self, network: ClientNetwork, again: bool) -> bool {
        let own = self.lines.iter().find(|line| line.network == network);
        let own = own.map_or(0, |line| line.entries.len());
        let all: usize = self.lines.iter().map(|line| line.entries.len()).sum();
        if own < MAX_PER_NETWORK && all < MAX {
            return true;
        }
        let line = if again && own > 0 {
            self.lines.iter_mut().find(|line| line.network == network)
        } else {
            let longest = self.lines.iter_mut().max_by_key(|line| line.entries.len());
            longest.filter(|line| own < MAX_PER_NETWORK && own + 1 < line.entries.len())
        };
        let dropped = line.and_then(|line| {
            let newest = line.entries.iter().rposition(|entry| !entry.again)?;
            Some(line.entries.remove(newest))
        });
        if let Some(dropped) = &dropped {
            self.refuse(&dropped.digest);
        }
        dropped.is_some()
    }

    /// Takes the next check.
    pub(super) fn next(&mut self) -> Option<(Digest, T)> {
        let mut line = self.lines.pop_front()?;
        let again = line.entries.iter().position(|entry| entry.again);
        let entry = line.entries.remove(again.unwrap_or(0));
        if !line.entries.is_empty() {
            self.lines.push_back(line);
        }
        Some((entry.digest, entry.check))
    }

    fn refuse(&mut self, digest: &Digest) {
        if self.refused.len() >= MAX_REFUSED {
            self.refused.clear();
        }
        self.refused.insert(part(digest));
    }
}

/// The first eight bytes, which tell digests apart well enough.
fn part(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
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
    fn networks_take_turns_and_passwords_sent_again_come_first() {
        let mut queue = Queue::default();
        for (of, number) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31)] {
            assert!(queue.push(network(of), digest(number), number));
        }
        assert_eq!(queue.ask_again(&digest(12)), Some(&12));
        assert_eq!(queue.ask_again(&digest(13)), None);
        assert_eq!(order(&mut queue), [12, 20, 30, 10, 31, 11]);
    }

    #[test]
    fn a_refused_password_that_comes_again_replaces_one_that_was_sent_once() {
        let mut queue = Queue::default();
        for number in 0..64 {
            assert!(queue.push(network(1), digest(number), number));
        }
        assert!(!queue.push(network(1), digest(99), 99));
        assert!(queue.push(network(2), digest(100), 100), "another network");
        assert!(queue.push(network(1), digest(99), 99));
        let order = order(&mut queue);
        assert_eq!(order[..3], [99, 100, 0]);
        assert!(!order.contains(&63), "the newest has made room");
        assert_eq!(order.len(), MAX_PER_NETWORK + 1);
    }

    #[test]
    fn the_queue_is_bounded_and_the_network_with_most_makes_room() {
        let mut queue = Queue::default();
        let mut number = 0;
        for of in 0..200 {
            for _ in 0..100 {
                number += 1;
                queue.push(network(of), digest(number), u32::from(of));
            }
        }
        let all = order(&mut queue);
        assert_eq!(all.len(), MAX);
        for of in 0..200 {
            let of_one = all.iter().filter(|one| **one == of).count();
            assert!((1..=MAX_PER_NETWORK).contains(&of_one), "{of}: {of_one}");
        }
    }
}
