//! What became of each client beside its packets: how long it took to come back, whether it left
//! its server without a reason, and what it was called.

use std::{collections::BTreeMap, time::Duration};

use crate::log::{At, Line, What};

/// Of all clients.
#[derive(Debug, Default)]
pub(super) struct Stories {
    of: BTreeMap<u32, Story>,
    /// From noticing that the server is lost to the first packet of another, each time.
    pub(super) returns: Vec<Duration>,
    /// Who left which server (by its alias), when.
    pub(super) departures: Vec<(u32, u64, At)>,
    /// Aliases that somebody got instead of another.
    pub(super) renamed: u64,
    /// Times that somebody had a session at the coordinator again, under the same alias.
    pub(super) resumed: u64,
}

#[derive(Debug, Default)]
struct Story {
    server: Option<u64>,
    alias: Option<u64>,
    /// Since when it knows that it has no server.
    lost: Option<At>,
}

impl Stories {
    /// From lines in the order of time.
    pub(super) fn read(lines: &[&Line]) -> Self {
        let mut stories = Self::default();
        for line in lines {
            stories.go_on(line);
        }
        stories.returns.sort();
        stories
    }

    fn go_on(&mut self, line: &Line) {
        let story = self.of.entry(line.client).or_default();
        match line.what {
            // Another one, who has lost nothing and was called nothing.
            What::Born => *story = Story::default(),
            What::Subscribed(server) => story.server = Some(server),
            What::Away => {
                if let Some(server) = story.server.take() {
                    self.departures.push((line.client, server, line.at));
                    story.lost.get_or_insert(line.at);
                }
            }
            What::Got(_) => {
                if let Some(lost) = story.lost.take() {
                    self.returns.push(line.at.saturating_sub(lost));
                }
            }
            What::Welcomed(alias) => match story.alias.replace(alias) {
                Some(before) if before != alias => self.renamed += 1,
                Some(_) => self.resumed += 1,
                None => {}
            },
            What::Sent(_) | What::Queued(_) | What::Stopped => {}
        }
    }

    /// Those who have lost a server and received nothing since.
    pub(super) fn unreturned(&self) -> Vec<u32> {
        let all = self.of.iter();
        let lost = all.filter(|(_, story)| story.lost.is_some());
        lost.map(|(client, _)| *client).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Publication;

    fn read(story: &[(u64, What)]) -> Stories {
        let lines: Vec<Line> = story
            .iter()
            .map(|&(ms, what)| Line {
                at: Duration::from_millis(ms),
                client: 7,
                what,
            })
            .collect();
        Stories::read(&lines.iter().collect::<Vec<_>>())
    }

    fn got() -> What {
        What::Got(Publication {
            client: 1,
            life: 1,
            number: 1,
        })
    }

    #[test]
    fn a_return_is_from_the_notice_to_the_first_packet() {
        let stories = read(&[
            (0, What::Born),
            (10, What::Away),
            (20, What::Subscribed(100)),
            (30, got()),
            (1_000, What::Away),
            // Not there yet, and lost again.
            (1_500, What::Away),
            (1_700, got()),
            (1_800, What::Subscribed(200)),
            (1_900, got()),
            (3_000, What::Away),
        ]);
        assert_eq!(stories.returns, [Duration::from_millis(700)]);
        let at = Duration::from_millis;
        assert_eq!(
            stories.departures,
            [(7, 100, at(1_000)), (7, 200, at(3_000))]
        );
        assert_eq!(stories.unreturned(), [7]);
    }

    #[test]
    fn aliases_are_kept_or_not_but_by_a_new_process() {
        let stories = read(&[
            (0, What::Born),
            (1, What::Welcomed(5)),
            (2, What::Welcomed(5)),
            (3, What::Born),
            (4, What::Welcomed(6)),
            (5, What::Welcomed(8)),
        ]);
        assert_eq!((stories.resumed, stories.renamed), (1, 1));
    }
}
