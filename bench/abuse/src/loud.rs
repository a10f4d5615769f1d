//! A client that publishes more than it may, on both lanes.

use anyhow::{Result, bail};
use client::Lane;

use crate::{Done, Target, endpoint, join, pace::Pace};

pub(crate) async fn run(target: &Target, per_s: u32, done: &Done) -> Result<()> {
    let (client, mut events) = join(&endpoint()?, target).await?;
    let mut pace = Pace::new(per_s);
    loop {
        let due = tokio::select! {
            due = pace.due() => due,
            event = events.recv() => match event {
                Some(_) => continue,
                None => bail!("a loud client ended"),
            },
        };
        for nth in 0..due {
            let lane = if nth % 2 == 0 {
                Lane::Unreliable
            } else {
                Lane::Reliable
            };
            // What is over its budget is dropped, or refused: here or there.
            let _published = client.publish("loud", lane, BODY).await;
        }
        done.add(due.into());
    }
}

const BODY: &[u8] = &[b'!'; 100];
