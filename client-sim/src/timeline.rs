//! What happened in each second, as CSV, written as it happens: a run that is cut short leaves what
//! there was.

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Everything counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) published: u64,
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) away: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupt: u64,
    pub(crate) reconnects: u64,
    pub(crate) joined: u64,
    pub(crate) left: u64,
}

/// Writes a line for each second.
#[derive(Debug)]
pub(crate) struct Timeline<W> {
    out: W,
    before: Numbers,
}

impl<W: Write> Timeline<W> {
    /// Begins with the names of the columns.
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(HEADER.as_bytes())?;
        out.flush()?;
        Ok(Self {
            out,
            before: Numbers::default(),
        })
    }

    /// What is new since the line before.
    pub(crate) fn write(
        &mut self,
        second: u64,
        connected: u64,
        now: Numbers,
        latency_us: &Histogram<u64>,
    ) -> io::Result<()> {
        let before = std::mem::replace(&mut self.before, now);
        let new = |count: fn(&Numbers) -> u64| i128::from(count(&now)) - i128::from(count(&before));
        // In one piece, so that no reader sees half a line.
        let line = format!(
            "{second},{connected},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
            new(|n| n.published),
            new(|n| n.expected),
            new(|n| n.delivered),
            new(|n| n.lost),
            new(|n| n.away),
            new(|n| n.duplicated),
            new(|n| n.reordered),
            new(|n| n.corrupt),
            latency_us.value_at_quantile(0.5),
            latency_us.value_at_quantile(0.99),
            latency_us.max(),
            new(|n| n.reconnects),
            new(|n| n.joined),
            new(|n| n.left),
        );
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }
}

const HEADER: &str = "second,connected,published,expected,delivered,lost,away,duplicated,reordered,\
                      corrupt,p50_us,p99_us,max_us,reconnects,joined,left\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::histogram;

    #[test]
    fn a_line_has_what_is_new_since_the_one_before() {
        let mut written = Vec::new();
        let mut timeline = Timeline::new(&mut written).expect("memory");
        let mut latency = histogram();
        for us in [100, 200, 300] {
            latency.record(us).expect("within bounds");
        }
        let first = Numbers {
            published: 10,
            expected: 90,
            delivered: 88,
            joined: 1,
            ..Numbers::default()
        };
        timeline.write(0, 10, first, &latency).expect("memory");
        let second = Numbers {
            published: 20,
            expected: 178,
            delivered: 178,
            lost: 2,
            away: 3,
            duplicated: 4,
            reordered: 5,
            corrupt: 6,
            reconnects: 7,
            joined: 1,
            left: 8,
        };
        timeline.write(1, 9, second, &histogram()).expect("memory");
        // Two that were taken for lost have come after all.
        let last = Numbers { lost: 0, ..second };
        timeline.write(4, 0, last, &histogram()).expect("memory");
        let lines = "0,10,10,90,88,0,0,0,0,0,200,300,300,0,1,0\n\
                     1,9,10,88,90,2,3,4,5,6,0,0,0,7,0,8\n\
                     4,0,0,0,0,-2,0,0,0,0,0,0,0,0,0,0\n";
        assert_eq!(String::from_utf8(written), Ok(format!("{HEADER}{lines}")));
        let columns = |line: &str| line.split(',').count();
        assert_eq!(
            columns(HEADER),
            columns(lines.lines().next().expect("a line"))
        );
    }
}
