//! The load tester against a real cluster: what it counts, and what it does not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client_sim::{Churn, Control, Error, Impair, Lane, Options, Phase, Progress, Report};
use tests::{PATIENCE, cluster::Cluster};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

fn options(cluster: &Cluster) -> Result<Options> {
    Ok(Options {
        coordinator: cluster.url().parse()?,
        clients: 10,
        rate: 20.0,
        duration: Duration::from_secs(1),
        ramp: Duration::from_millis(100),
        workers: 1,
        ..Options::default()
    })
}

async fn run(options: Options) -> Result<Report> {
    let run = client_sim::run(options, Control::default());
    Ok(timeout(3 * PATIENCE, run).await.context("it goes on")??)
}

fn ensure_clean(report: &Report, expected: u64) -> Result<()> {
    ensure!(report.expected == expected, "{expected} due, {report}");
    ensure!(report.delivered == expected && report.lost == 0, "{report}");
    let faults = report.away + report.duplicated + report.corrupt + report.failed;
    ensure!(faults == 0 && report.errors.is_empty(), "{report}");
    Ok(())
}

#[tokio::test]
async fn what_is_sent_arrives_across_two_servers() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let report = run(options(&cluster)?).await?;
    ensure!(
        report.connected == 10 && report.published == 200,
        "{report}"
    );
    ensure_clean(&report, 200 * 9)?;
    ensure!(report.reordered == 0, "{report}");
    ensure!(
        report.latency_us.max > 0 && report.connect_ms.max > 0.0,
        "{report}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn each_topic_has_its_own_subscribers() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let report = run(Options {
        topics: 4,
        subscribe_per_client: 2,
        publishers: Some(4),
        lane: Lane::Unreliable,
        payload: 1_000,
        ..options(&cluster)?
    })
    .await?;
    // Topics 0 and 1 have five or six subscribers of ten, and one publisher each; see below.
    let subscribers = |topic: u32| (0..10).filter(move |c| c % 4 == topic || (c + 1) % 4 == topic);
    let due: usize = (0..4)
        .map(|topic| subscribers(topic).filter(|client| *client != topic).count() * 20)
        .sum();
    ensure!(report.published == 80, "{report}");
    ensure_clean(&report, u64::try_from(due)?)?;
    cluster.stop().await
}

#[tokio::test]
async fn a_stride_spreads_the_clients_over_more_topics() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let report = run(Options {
        topics: 100,
        stride: 10,
        subscribe_per_client: 11,
        ..options(&cluster)?
    })
    .await?;
    // Each client hears the next one's first topic, beside its own.
    ensure_clean(&report, 10 * 20)?;
    cluster.stop().await
}

#[tokio::test]
async fn in_a_closed_loop_a_publisher_waits_for_everybody() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let report = run(Options {
        clients: 4,
        window: Some(2),
        ..options(&cluster)?
    })
    .await?;
    // More than the windows alone: they were answered again and again.
    ensure!(report.published > 4 * 2, "{report}");
    ensure_clean(&report, report.published * 3)?;
    ensure!(report.reordered == 0 && report.stalls == 0, "{report}");
    // One that nobody answers sends no more than its window, and then waits.
    let alone = run(Options {
        clients: 1,
        window: Some(2),
        lane: Lane::Unreliable,
        duration: Duration::from_millis(100),
        ..options(&cluster)?
    })
    .await?;
    ensure!(alone.published == 2 && alone.expected == 0, "{alone}");
    cluster.stop().await
}

#[tokio::test]
async fn a_bad_network_shows_on_the_unreliable_lane_alone() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let impair = Impair {
        loss: 0.05,
        ..Impair::default()
    };
    let bad = Options {
        clients: 6,
        impair: Some(impair),
        ..options(&cluster)?
    };
    let unreliable = run(Options {
        lane: Lane::Unreliable,
        ..bad.clone()
    })
    .await?;
    ensure!(unreliable.lost > 0, "{unreliable}");
    ensure!(
        unreliable.delivered + unreliable.lost == unreliable.expected,
        "{unreliable}"
    );
    ensure!(unreliable.expected == 6 * 20 * 5, "{unreliable}");
    let reliable = run(bad).await?;
    ensure!(
        reliable.lost == 0 && reliable.expected == 6 * 20 * 5,
        "{reliable}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn whom_a_fault_took_away_has_lost_nothing() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let progress = watch::Sender::default();
    let mut phases = progress.subscribe();
    let control = Control {
        progress: Some(progress),
        ..Control::default()
    };
    let load = client_sim::run(
        Options {
            duration: Duration::from_secs(4),
            // Enough for some to be under way at any moment.
            rate: 200.0,
            ..options(&cluster)?
        },
        control,
    );
    let fault = async {
        let published = |progress: &Progress| progress.published > 100;
        timeout(PATIENCE, phases.wait_for(published)).await??;
        cluster.stop_commserver(0).await
    };
    let (report, fault) = tokio::join!(timeout(3 * PATIENCE, load), fault);
    fault?;
    let report = report??;
    ensure!(
        report.away > 0 && !report.errors.is_empty(),
        "somebody was there: {report}"
    );
    ensure!(
        report.delivered + report.lost == report.expected,
        "{report}"
    );
    // What was under way at the moment of the fault went with the server: it is not lost.
    ensure!(report.lost == 0, "{report}");
    ensure!(
        report.duplicated == 0 && report.reordered == 0 && report.corrupt == 0,
        "{report}"
    );
    // Five of ten had that server, and all of them have found the other one.
    ensure!(
        report.reconnects == 5 && report.unrecovered == 0,
        "{report}"
    );
    ensure!(report.recovery_ms.max > 0.0, "{report}");
    cluster.stop().await
}

#[tokio::test]
async fn who_joins_and_leaves_costs_nobody_else_a_packet() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    for lane in Lane::ALL {
        let report = run(Options {
            churn: Some(Churn::Share(0.3)),
            duration: Duration::from_secs(4),
            lane,
            ..options(&cluster)?
        })
        .await?;
        ensure!(
            (11..=12).contains(&report.left) && report.joined > 0,
            "{report}"
        );
        ensure!(
            report.lost == 0 && report.delivered == report.expected,
            "{report}"
        );
        // Who joins misses what is published meanwhile. Nobody else misses anything.
        let all = report.published * 9;
        ensure!(
            report.away > 0 && report.away * 4 < all,
            "{} of {all} away: {report}",
            report.away
        );
        ensure!(
            report.expected + report.away == all,
            "{all} in all: {report}"
        );
        let faults = report.duplicated + report.corrupt + report.reordered;
        ensure!(faults == 0 && report.errors.is_empty(), "{report}");
        let moves = report.reconnects + report.aliases_changed + report.unrecovered;
        ensure!(moves == 0, "{report}");
    }
    cluster.stop().await
}

#[tokio::test]
async fn every_second_has_its_line_and_they_add_up() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let path = std::env::temp_dir().join(format!("timeline-{}.csv", std::process::id()));
    let report = run(Options {
        churn: Some(Churn::Count(2.0)),
        duration: Duration::from_secs(3),
        record_timeline: Some(path.clone()),
        ..options(&cluster)?
    })
    .await?;
    let text = std::fs::read_to_string(&path)?;
    std::fs::remove_file(&path)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().context("a header")?.split(',').collect();
    let rows: Vec<Vec<i64>> = lines
        .map(|line| line.split(',').map(str::parse).collect::<Result<_, _>>())
        .collect::<Result<_, _>>()?;
    let column = |name: &str| {
        let at = names.iter().position(|found| *found == name);
        let at = at.with_context(|| name.to_owned())?;
        anyhow::Ok(rows.iter().map(move |row| row[at]))
    };
    let seconds: Vec<i64> = column("second")?.collect();
    ensure!(seconds.is_sorted() && seconds.len() >= 3, "{text}");
    ensure!(column("connected")?.any(|count| count >= 9), "{text}");
    ensure!(column("p50_us")?.any(|us| us > 0), "{text}");
    for (name, reported) in [
        ("published", report.published),
        ("expected", report.expected),
        ("delivered", report.delivered),
        ("lost", report.lost),
        ("away", report.away),
        ("corrupt", report.corrupt),
        ("joined", report.joined),
        ("left", report.left),
    ] {
        let sum: i64 = column(name)?.sum();
        ensure!(
            sum == i64::try_from(reported)?,
            "{name} of {report}\n{text}"
        );
    }
    let nowhere = Options {
        record_timeline: Some("/nowhere/timeline.csv".into()),
        ..options(&cluster)?
    };
    let refused = client_sim::run(nowhere, Control::default()).await;
    ensure!(
        matches!(refused, Err(Error::Timeline { .. })),
        "{refused:?}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn an_interrupted_run_reports_what_there_was() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let stop = CancellationToken::new();
    let progress = watch::Sender::default();
    let mut phases = progress.subscribe();
    let control = Control {
        stop: stop.clone(),
        progress: Some(progress),
    };
    let load = client_sim::run(
        Options {
            duration: Duration::from_secs(3_600),
            ..options(&cluster)?
        },
        control,
    );
    let interrupt = async {
        let under_load = |progress: &Progress| {
            matches!(progress.phase, Phase::Publishing { .. }) && progress.delivered > 0
        };
        timeout(PATIENCE, phases.wait_for(under_load)).await??;
        stop.cancel();
        anyhow::Ok(())
    };
    let (report, interrupted) = tokio::join!(timeout(3 * PATIENCE, load), interrupt);
    interrupted?;
    let report = report??;
    ensure!(report.duration_s < 60.0 && report.published > 0, "{report}");
    ensure!(
        report.lost == 0 && report.delivered == report.expected,
        "{report}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn nobody_there_is_no_report() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let alone = Options {
        patience: Duration::from_millis(500),
        ..options(&cluster)?
    };
    cluster.stop_commserver(0).await?;
    let none = client_sim::run(alone, Control::default()).await;
    ensure!(matches!(none, Err(Error::NobodyConnected(_))), "{none:?}");
    cluster.stop().await
}

#[tokio::test]
async fn a_restarted_coordinator_and_a_lost_server_change_no_alias() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let progress = watch::Sender::default();
    let mut phases = progress.subscribe();
    let control = Control {
        progress: Some(progress),
        ..Control::default()
    };
    let load = client_sim::run(
        Options {
            duration: Duration::from_secs(5),
            ..options(&cluster)?
        },
        control,
    );
    let faults = async {
        let published = |progress: &Progress| progress.published > 50;
        timeout(PATIENCE, phases.wait_for(published)).await??;
        cluster.stop_coordinator().await?;
        cluster.start_coordinator().await?;
        let later = |progress: &Progress| progress.published > 400;
        timeout(PATIENCE, phases.wait_for(later)).await??;
        cluster.stop_commserver(0).await
    };
    let (report, faults) = tokio::join!(timeout(3 * PATIENCE, load), faults);
    faults?;
    let report = report??;
    ensure!(
        report.reconnects == 5 && report.unrecovered == 0,
        "{report}"
    );
    ensure!(report.aliases_changed == 0, "{report}");
    cluster.stop().await
}
