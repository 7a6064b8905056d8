//! Reads a list that the API gives in pages.
//!
//! The API has no cursor and no stable order: a row that is added or removed between two pages
//! shifts the other rows, so that a row can be missed or come twice. So rows are known by a
//! key, and a list that changed while it was read is read once more from its beginning.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The pages of one collection.
pub(super) struct Pages<T> {
    /// The most rows of a page.
    limit: usize,
    rows: BTreeMap<String, T>,
    /// How many rows without a key were read.
    nameless: usize,
    /// How many rows were asked for so far, which is where the next page begins.
    offset: usize,
    pages: usize,
    /// How many rows the API says that the list has.
    total: Option<u64>,
    /// Whether that changed between pages.
    changed: bool,
    /// Whether the list is read for the second time.
    again: bool,
}

/// What comes after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page<T> {
    /// The page that begins with this row.
    Next(usize),
    /// The list is complete.
    Complete {
        rows: BTreeMap<String, T>,
        /// Whether the API's own count of rows is another, also after a second reading.
        miscounted: bool,
    },
    /// The pages contradict each other, in these words.
    Failed(&'static str),
}

/// More pages than any list has.
const MAX_PAGES: usize = 200;

impl<T> Pages<T> {
    /// A list that is asked for in pages of at most `limit` rows.
    pub(super) fn of(limit: usize) -> Self {
        Self {
            limit,
            rows: BTreeMap::new(),
            nameless: 0,
            offset: 0,
            pages: 0,
            total: None,
            changed: false,
            again: false,
        }
    }

    /// Whether nothing was read yet.
    pub(super) fn is_new(&self) -> bool {
        self.pages == 0 && !self.again
    }

    /// Adds the next page: its rows, each with its key, if the row has a key, and the number
    /// of all rows, if the page has this number.
    pub(super) fn take(&mut self, page: Vec<(Option<String>, T)>, total: Option<u64>) -> Page<T> {
        self.changed |= self.total.is_some() && total.is_some() && self.total != total;
        self.total = total.or(self.total);
        self.pages += 1;
        self.offset += page.len();
        let (page_len, mut has_new, mut has_known) = (page.len(), false, false);
        for (key, row) in page {
            match key.map(|key| self.rows.entry(key)) {
                None => self.nameless += 1,
                // What was read later is newer.
                Some(Entry::Occupied(mut known)) => {
                    known.insert(row);
                    has_known = true;
                }
                Some(Entry::Vacant(new)) => {
                    new.insert(row);
                    has_new = true;
                }
            }
        }
        if self.count() == 0 && self.total != Some(0) {
            return Page::Failed(match self.total {
                Some(_) => "the API counts rows, but lists none",
                None => "the answer has neither rows nor their number",
            });
        }
        let repeats = has_known && !has_new;
        let misses = self.total.is_none_or(|total| self.count() < total);
        if misses && page_len > 0 && !repeats {
            return match self.pages {
                MAX_PAGES.. => Page::Failed("the list has no end"),
                _ => Page::Next(self.offset),
            };
        }
        if self.total.is_none() && repeats && page_len >= self.limit {
            return Page::Failed("the API gives the same full page for every offset");
        }
        let miscounted = self.total.is_some_and(|total| total != self.count());
        if !self.changed && !miscounted {
            return self.complete(false);
        }
        if !self.again {
            *self = Self {
                again: true,
                ..Self::of(self.limit)
            };
            return Page::Next(0);
        }
        if self.changed || repeats {
            return Page::Failed("the pages of the list contradict each other, twice");
        }
        self.complete(true)
    }

    fn count(&self) -> u64 {
        (self.rows.len() + self.nameless) as u64
    }

    fn complete(&mut self, miscounted: bool) -> Page<T> {
        Page::Complete {
            rows: std::mem::take(&mut self.rows),
            miscounted,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page of rows with these keys; `-` is a row without one.
    fn page(keys: &str) -> Vec<(Option<String>, usize)> {
        let keys = keys.split_whitespace().enumerate();
        keys.map(|(row, key)| ((key != "-").then(|| key.to_owned()), row))
            .collect()
    }

    /// What these pages with these totals come to: where each further page begins, and the
    /// keys in the end.
    fn read(pages: &[(&str, Option<u64>)]) -> (Vec<usize>, Result<(String, bool), &'static str>) {
        let (mut reading, mut offsets) = (Pages::of(3), Vec::new());
        for (number, (keys, total)) in pages.iter().enumerate() {
            let is_last = number + 1 == pages.len();
            match reading.take(page(keys), *total) {
                Page::Next(offset) => {
                    assert!(!is_last, "a further page is asked for at {offset}");
                    offsets.push(offset);
                }
                Page::Complete { rows, miscounted } => {
                    assert!(is_last, "page {number} was the last");
                    let keys: Vec<String> = rows.into_keys().collect();
                    return (offsets, Ok((keys.join(" "), miscounted)));
                }
                Page::Failed(words) => {
                    assert!(is_last, "page {number}: {words}");
                    return (offsets, Err(words));
                }
            }
        }
        panic!("there are no pages");
    }

    fn good(keys: &str) -> Result<(String, bool), &'static str> {
        Ok((keys.to_owned(), false))
    }

    #[test]
    fn a_list_is_new_until_its_first_page_and_not_when_it_is_read_once_more() {
        let mut list = Pages::of(3);
        assert!(list.is_new());
        assert!(matches!(list.take(page("a b"), Some(3)), Page::Next(2)));
        assert!(!list.is_new());
        // The total has changed in between.
        assert!(matches!(list.take(page("c"), Some(2)), Page::Next(0)));
        assert!(!list.is_new());
    }

    #[test]
    fn pages_follow_each_other_by_the_rows_received_until_all_are_there() {
        assert_eq!(read(&[("a b", Some(2))]), (vec![], good("a b")));
        assert_eq!(read(&[("", Some(0))]), (vec![], good("")));
        let short = [("a b", Some(3)), ("c", Some(3))];
        assert_eq!(read(&short), (vec![2], good("a b c")));
    }

    #[test]
    fn without_a_total_an_empty_page_or_one_without_news_is_the_end() {
        let empty = [("a b", None), ("", None)];
        assert_eq!(read(&empty), (vec![2], good("a b")));
        let repeats = [("a b", None), ("a b", None)];
        assert_eq!(read(&repeats), (vec![2], good("a b")));
        let nameless = [("a -", None), ("a -", None)];
        assert_eq!(read(&nameless), (vec![2], good("a")));
    }

    #[test]
    fn a_full_page_that_comes_for_every_offset_is_no_whole_list() {
        assert!(read(&[("a b c", None), ("a b c", None)]).1.is_err());
        let whole = [("a b c", None), ("", None)];
        assert_eq!(read(&whole), (vec![3], good("a b c")));
    }

    #[test]
    fn a_list_that_changes_between_pages_is_read_once_more() {
        let pages = [
            ("a b", Some(4)),
            ("c", Some(3)),
            ("a c", Some(3)),
            ("d", Some(3)),
        ];
        assert_eq!(read(&pages), (vec![2, 0, 2], good("a c d")));
        let changes_again = [
            ("a b", Some(4)),
            ("c", Some(3)),
            ("a b", Some(3)),
            ("c d", Some(4)),
        ];
        assert!(read(&changes_again).1.is_err());
    }

    /// Reads a list from an API that gives at most `most` rows at a time, and that gains or
    /// loses a row before the page of this number.
    fn read_all(
        mut list: Vec<String>,
        has_total: bool,
        most: usize,
        change: Option<(usize, bool, usize)>,
    ) -> (Vec<String>, Page<()>) {
        let (mut reading, mut offset) = (Pages::of(most), 0);
        for number in 0.. {
            if let Some((before, gains, place)) = change
                && before == number
            {
                match gains {
                    true => list.insert(place % (list.len() + 1), "new".to_owned()),
                    false if list.is_empty() => {}
                    false => drop(list.remove(place % list.len())),
                }
            }
            let rows = list.iter().skip(offset).take(most);
            let rows = rows.map(|key| (Some(key.clone()), ())).collect();
            let total = has_total.then_some(list.len() as u64);
            match reading.take(rows, total) {
                Page::Next(next) => offset = next,
                end => return (list, end),
            }
        }
        unreachable!("the pages come to an end");
    }

    fn keys(mut list: Vec<String>) -> Vec<String> {
        list.sort();
        list
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_list_is_read_whole_and_one_that_changes_as_it_was_or_is(
            rows in 0_usize..50,
            most in 1_usize..12,
            has_total: bool,
            change in prop::option::of((0_usize..8, any::<bool>(), 0_usize..50)),
        ) {
            let list: Vec<String> = (0..rows).map(|row| format!("row {row}")).collect();
            // Without a total, the exporter cannot see that a list has changed, or that the
            // list is empty.
            let change = change.filter(|_| has_total);
            let (after, end) = read_all(list.clone(), has_total, most, change);
            match end {
                Page::Complete { rows, miscounted } => {
                    let found: Vec<String> = rows.into_keys().collect();
                    prop_assert!(found == keys(list) || found == keys(after), "{found:?}");
                    prop_assert!(!miscounted);
                }
                end => prop_assert!(rows == 0 && !has_total, "{end:?}"),
            }
        }
    }

    #[test]
    fn a_wrong_total_is_believed_to_be_wrong_when_it_stays_so() {
        let fewer = [
            ("a b", Some(5)),
            ("", Some(5)),
            ("a b", Some(5)),
            ("", Some(5)),
        ];
        let accepted = Ok(("a b".to_owned(), true));
        assert_eq!(read(&fewer), (vec![2, 0, 2], accepted.clone()));
        let more = [("a b", Some(1)), ("a b", Some(1))];
        assert_eq!(read(&more), (vec![0], accepted));
    }

    #[test]
    fn pages_that_repeat_though_there_should_be_more_rows_are_a_failure() {
        let pages = [
            ("a b", Some(5)),
            ("a b", Some(5)),
            ("a b", Some(5)),
            ("a b", Some(5)),
        ];
        assert!(read(&pages).1.is_err());
    }

    #[test]
    fn a_row_that_comes_twice_is_kept_as_it_was_read_last() {
        let mut reading = Pages::of(3);
        assert_eq!(reading.take(page("a b"), Some(3)), Page::Next(2));
        let complete = reading.take(page("b c"), Some(3));
        let Page::Complete { rows, .. } = complete else {
            panic!("{complete:?}");
        };
        assert_eq!(rows["b"], 0);
    }

    #[test]
    fn rows_without_a_key_count_as_rows() {
        assert_eq!(read(&[("a - -", Some(3))]), (vec![], good("a")));
    }

    #[test]
    fn an_empty_list_is_believed_only_where_the_api_counts_no_rows() {
        assert!(read(&[("", Some(3))]).1.is_err());
        assert!(read(&[("", None)]).1.is_err());
    }

    #[test]
    fn a_list_without_an_end_is_a_failure() {
        let mut reading = Pages::of(3);
        for number in 1..MAX_PAGES {
            let row = vec![(Some(number.to_string()), ())];
            assert_eq!(reading.take(row, None), Page::Next(number));
        }
        let last = reading.take(vec![(Some("last".to_owned()), ())], None);
        assert!(matches!(last, Page::Failed(_)));
    }
}
