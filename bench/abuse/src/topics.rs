//! Clients that subscribe and unsubscribe, again and again.

use anyhow::{Result, bail};
use client::{Client, Events};
use futures_util::future::try_join_all;

use crate::{Done, Target, endpoint, join};

pub(crate) async fn run(target: &Target, clients: usize, topics: usize, done: &Done) -> Result<()> {
    let endpoint = &endpoint()?;
    let names: Vec<String> = (0..topics).map(|nth| format!("restless/{nth}")).collect();
    let names: &Vec<&str> = &names.iter().map(String::as_str).collect();
    let joins = (0..clients).map(|_| join(endpoint, target));
    let all = try_join_all(joins).await?.into_iter();
    try_join_all(all.map(|member| churn(member, names, done))).await?;
    Ok(())
}

async fn churn((client, mut events): (Client, Events), names: &[&str], done: &Done) -> Result<()> {
    let changes = async {
        for some in names.chunks(AT_ONCE).cycle() {
            // Who is slowed down may be answered too late, and goes on.
            let _subscribed = client.subscribe(some).await;
            let _unsubscribed = client.unsubscribe(some).await;
            done.add(1);
        }
    };
    tokio::select! {
        () = changes => bail!("there are no topics"),
        () = async { while events.recv().await.is_some() {} } => bail!("a restless client ended"),
    }
}

/// Of what a client may be subscribed to, most.
const AT_ONCE: usize = 1_000;
