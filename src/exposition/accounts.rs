//! The accounts' part: what is known of each account, family by family, in pages.

use std::sync::Arc;
use std::time::Duration;

use super::columns::{Column, Columns, Source, Spare};
use super::format::{Format, end_line, further_label};
use super::labels::{Labels, Texts};
use super::page::{Page, Sink as _};
use crate::collectors::Label;
use crate::metrics::MetricDef;
use crate::system::clock::Moment;

/// How large a page is, in bytes, about: large enough to cost little, and small enough
/// for many clients to have one each.
pub const PAGE: usize = 32 * 1024;

/// A family that accounts have samples of. What never changes is prepared.
#[derive(Debug)]
pub(super) struct Family {
    def: &'static MetricDef,
    source: Source,
    text_head: Vec<u8>,
    openmetrics_head: Vec<u8>,
    /// How each line begins: `name{account="`.
    open: Vec<u8>,
    /// What stands behind the row's labels in each line of a row, if it has several.
    series: Vec<Vec<u8>>,
}

/// The accounts' part of a scrape in pages. What it shows is what was known when it
/// began; its text is written only as it is taken. Clones share what it shows.
#[derive(Debug, Clone)]
pub struct Pages {
    format: Format,
    families: Arc<[Family]>,
    labels: Arc<Labels>,
    columns: Arc<Columns>,
    /// What is written next.
    next: Place,
}

/// A place in the text: a family, and one of its rows, or marks.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    family: usize,
    row: usize,
}

impl Family {
    pub(super) fn new(def: &'static MetricDef) -> Self {
        let head = |format: Format| {
            let mut head = Vec::new();
            format.head(def, &mut head);
            head
        };
        let source = Source::of(def);
        let name = def.labels.get(1).copied().unwrap_or_default();
        let series = source.labels().filter_map(|label| {
            let Label::Fixed(value) = label else {
                return None;
            };
            let mut text = Vec::new();
            further_label(&mut text, ["", name], value);
            Some(text)
        });
        Self {
            def,
            source,
            text_head: head(Format::Text),
            openmetrics_head: head(Format::OpenMetrics),
            open: format!("{}{{account=\"", def.name).into(),
            series: series.collect(),
        }
    }

    fn head(&self, format: Format) -> &[u8] {
        match format {
            Format::Text => &self.text_head,
            Format::OpenMetrics => &self.openmetrics_head,
        }
    }

    /// The labels of its rows.
    fn rows<'a>(&self, labels: &'a Labels) -> &'a Texts {
        match self.source {
            Source::Info => &labels.infos,
            Source::State(_) | Source::FailureReason | Source::Drift => &labels.collectors,
            _ => &labels.accounts,
        }
    }

    /// Writes a line with these labels.
    #[inline(always)]
    fn line(&self, labels: &[u8], value: f64, out: &mut Page) {
        out.put(&self.open);
        out.put(labels);
        end_line(value, out);
    }

    /// Writes lines that differ in a label only.
    fn lines(&self, labels: &[u8], values: &[f64], out: &mut Page) {
        let mut beginning = None;
        for (series, value) in self.series.iter().zip(values) {
            if value.is_nan() {
                continue;
            }
            // All of them begin the same.
            if let Some((start, end)) = beginning {
                out.repeat(start, end);
            } else {
                let start = out.len();
                out.put(&self.open);
                out.put(labels);
                beginning = Some((start, out.len()));
            }
            out.put(series);
            end_line(*value, out);
        }
    }

    /// Writes what a column has from the row `next` on, up to `end` or a row further.
    /// Returns the row where it goes on, or nothing if all is written.
    fn write(
        &self,
        column: &Column<'_>,
        labels: &Labels,
        next: usize,
        end: usize,
        out: &mut Page,
    ) -> Option<usize> {
        let texts = self.rows(labels);
        match column {
            Column::Count(count) => {
                let count = count.to_string();
                for piece in [self.def.name, " ", &count, "\n"] {
                    out.put(piece.as_bytes());
                }
            }
            Column::Numbers(numbers) if self.series.is_empty() => {
                let rows = numbers.get(next..).unwrap_or_default().iter();
                for ((row, value), labels) in (next..).zip(rows).zip(texts.from(next)) {
                    if !value.is_nan() {
                        self.line(labels, *value, out);
                    }
                    if out.len() >= end {
                        return Some(row + 1);
                    }
                }
            }
            Column::Numbers(numbers) => {
                let rows = numbers.chunks_exact(self.series.len()).skip(next);
                for ((row, values), labels) in (next..).zip(rows).zip(texts.from(next)) {
                    self.lines(labels, values, out);
                    if out.len() >= end {
                        return Some(row + 1);
                    }
                }
            }
            Column::Marks(marks) => {
                let rows = marks.rows.get(next..).unwrap_or_default().iter();
                for ((mark, row), more) in (next..).zip(rows).zip(marks.labels.from(next)) {
                    out.put(&self.open);
                    out.put(texts.get(*row));
                    out.put(more);
                    end_line(1.0, out);
                    if out.len() >= end {
                        return Some(mark + 1);
                    }
                }
            }
        }
        None
    }
}

impl Pages {
    /// The pages of `families` for the accounts with these labels, and how long its
    /// values are young enough to be shown, seen from `now` on. Its memory comes from
    /// `spare`.
    pub(super) fn new(
        format: Format,
        families: Arc<[Family]>,
        labels: Arc<Labels>,
        now: Moment,
        spare: &Arc<Spare>,
    ) -> (Self, Duration) {
        let sources = families.iter().map(|family| family.source);
        let columns = Columns::read(sources, &labels.of, now, spare);
        let fresh_for = columns.fresh_for;
        let pages = Self {
            format,
            families,
            labels,
            columns: Arc::new(columns),
            next: Place::default(),
        };
        (pages, fresh_for)
    }

    /// How many bytes are kept for what it shows, beside what all scrapes share.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.columns.kept_bytes()
    }

    /// Appends the next page to `out`. Nothing is appended once all are written.
    pub fn next_page(&mut self, out: &mut Page) {
        let end = out.len().saturating_add(PAGE);
        while let Some(family) = self.families.get(self.next.family)
            && let Some(column) = self.columns.get(self.next.family)
        {
            // A family without samples leaves no trace.
            if self.next.row == 0 && !column.is_empty() {
                if out.len() >= end {
                    return;
                }
                out.put(family.head(self.format));
            }
            let next = family.write(&column, &self.labels, self.next.row, end, out);
            if let Some(row) = next {
                self.next.row = row;
                return;
            }
            self.next = Place {
                family: self.next.family + 1,
                row: 0,
            };
        }
    }
}

impl Iterator for Pages {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        // With space for the line that ends it: to grow would double it.
        let mut page = Page::with_capacity(PAGE + PAGE / 16);
        self.next_page(&mut page);
        Some(page.into_text()).filter(|page| !page.is_empty())
    }
}
