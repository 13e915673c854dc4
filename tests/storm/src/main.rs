//! `storm`: blows for as long as it is told to, and prints what it broke as a script to keep.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use berqenas_core::value::Pair;
use berqenas_storm::{
    generate::{self, Climate},
    oracle::Finding,
    play::{Verdict, play},
    real::{self, Engines},
    sabotage::{self, Broken},
    script::Script,
    shrink::shrink,
    sim::Sabotage,
    simulated::Simulation,
};
use clap::Parser;
use futures::{StreamExt, stream};
use indicatif::ProgressBar;

/// Tries to make Berqenas Sync lose a write: seeded storms of users, faults and runs, judged by an oracle.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed; each further storm has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many storms; without it and without --minutes: one.
    #[arg(long)]
    storms: Option<u64>,
    /// For how many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// A script to play instead: one that failed before.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Shortens a replayed script that fails.
    #[arg(long)]
    shrink: bool,
    /// How many simulated storms blow at the same time; real ones blow one after the other.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Where scripts that fail are saved, shrunk.
    #[arg(long, value_name = "FOLDER", default_value = "target/storms")]
    save: PathBuf,
    /// Tells the seed that failed, and leaves its script as it is.
    #[arg(long)]
    no_shrink: bool,
    /// Goes on after a failure, and counts.
    #[arg(long)]
    keep_going: bool,
    /// Real databases, processes and networks instead of simulated ones.
    #[arg(long)]
    real: bool,
    /// The engines of a real storm, cloud first.
    #[arg(long, value_enum, default_value_t = Engines::All)]
    pair: Engines,
    /// A rule that is broken on purpose, to see whether the storm finds out.
    #[arg(long, value_name = "RULE")]
    without: Option<String>,
    /// Tells what users did in a replay, and how runs failed.
    #[arg(long)]
    verbose: bool,
}

/// So many ties in a row that go to one side are no chance: the greater content wins, whichever side it is on.
const TIES: u32 = 14;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(real::WORKER) {
        return real::work().await;
    }
    match Box::pin(run(&Arguments::parse())).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::from(2)
        }
    }
}

/// Where storms blow.
#[derive(Clone, Copy)]
enum Place {
    Real,
    Simulated(Option<Sabotage>),
}

async fn blow(script: &Script, place: Place) -> Result<Verdict, String> {
    let Place::Simulated(sabotage) = place else {
        let program = std::env::current_exe().map_err(|fault| format!("the storm does not know its own program: {fault}"))?;
        return Box::pin(real::blow(script, &program)).await;
    };
    let mut arena = Simulation::new(script, sabotage)?;
    Ok(Box::pin(play(script, &mut arena)).await)
}

async fn run(arguments: &Arguments) -> Result<bool, String> {
    let (sabotage, focus) = match arguments.without.as_deref().map(sabotage::named).transpose()? {
        None => (None, None),
        Some((Broken::Database(sabotage), focus)) => (Some(sabotage), focus),
        Some((Broken::Engine(rule), focus)) => {
            sabotage::switch_off(rule)?;
            (None, focus)
        }
    };
    let simulated = Climate { focus, ..Climate::SIMULATED };
    let place = if arguments.real { Place::Real } else { Place::Simulated(sabotage) };
    if let Some(file) = &arguments.replay {
        let text = std::fs::read_to_string(file).map_err(|fault| format!("{}: {fault}", file.display()))?;
        let script: Script = serde_yaml::from_str(&text).map_err(|fault| format!("{}: {fault}", file.display()))?;
        let verdict = blow(&script, place).await?;
        tell(&verdict.findings);
        if arguments.verbose {
            print!("{}", verdict.record);
        }
        if let (Some(first), true) = (verdict.findings.first(), arguments.shrink) {
            save(&shortest(&script, first.what, place).await?, &arguments.save)?;
        }
        return Ok(verdict.findings.is_empty());
    }
    let begun = Instant::now();
    let minutes = arguments.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let storms = arguments.storms.unwrap_or(if minutes.is_some() { u64::MAX } else { 1 });
    let mut failed: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    let (mut played, mut deeds, mut runs, mut kills, mut ties) = (0, 0, 0, 0, Pair::new(0, 0));
    let in_time = |_: &u64| minutes.is_none_or(|minutes| begun.elapsed() <= minutes);
    let seeds = (arguments.seed..arguments.seed.saturating_add(storms)).take_while(in_time);
    let storm = async |seed| {
        let script = generate::script(seed, &if arguments.real { arguments.pair.climate(seed) } else { simulated });
        let verdict = blow(&script, place).await?;
        Ok::<_, String>((seed, script, verdict))
    };
    let bar = if storms == u64::MAX { ProgressBar::new_spinner() } else { ProgressBar::new(storms) };
    // One storm waits for its state while another goes on; they are heard in the order of their seeds all the same.
    let mut storms = pin!(stream::iter(seeds).map(storm).buffered(if arguments.real { 1 } else { arguments.jobs.max(1) }));
    while let Some(storm) = storms.next().await {
        let (seed, script, verdict) = storm?;
        played += 1;
        bar.inc(1);
        deeds += verdict.record.deeds.len();
        runs += verdict.record.runs;
        kills += verdict.record.kills;
        for (fault, count) in &verdict.record.failures {
            *ends.entry(fault.clone()).or_insert(0) += count;
        }
        ties = Pair::new(ties.cloud + verdict.record.ties.cloud, ties.local + verdict.record.ties.local);
        if ties.cloud.min(ties.local) == 0 && ties.cloud + ties.local >= TIES {
            println!("ties always go to one side: {} to the cloud, {} to the local side (seeds up to {seed})", ties.cloud, ties.local);
            return Ok(false);
        }
        if let Some(first) = verdict.findings.first() {
            let entry = failed.entry(first.what).or_insert((0, seed));
            entry.0 += 1;
            bar.suspend(|| println!("seed {seed}:"));
            bar.suspend(|| tell(&verdict.findings));
            if !arguments.keep_going {
                println!("after {played} storms in {:.1} s", begun.elapsed().as_secs_f64());
                if arguments.no_shrink {
                    save(&script, &arguments.save)?;
                    return Ok(false);
                }
                let short = shortest(&script, first.what, place).await?;
                tell(&blow(&short, place).await?.findings);
                save(&short, &arguments.save)?;
                return Ok(false);
            }
        }
    }
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{played} storms in {seconds:.1} s: {deeds} writes of users, {runs} runs, {kills} killed");
    if arguments.verbose {
        ends.iter().for_each(|(fault, count)| println!("{count} runs ended so: {fault}"));
    }
    for (what, (count, seed)) in &failed {
        println!("{count} times: {what} (first: seed {seed})");
    }
    Ok(failed.is_empty())
}

/// The shortest script found that breaks the same promise.
async fn shortest(script: &Script, what: &'static str, place: Place) -> Result<Script, String> {
    // Real storms do not always go the same way.
    let tries = if matches!(place, Place::Real) { 3 } else { 1 };
    let fails = async |candidate: &Script| {
        for _ in 0..tries {
            if blow(candidate, place).await.is_ok_and(|verdict| verdict.findings.iter().any(|finding| finding.what == what)) {
                return true;
            }
        }
        false
    };
    let mut short = shrink(script, fails).await;
    short.story = format!("seed {}: {what}", script.seed);
    Ok(short)
}

fn save(script: &Script, folder: &Path) -> Result<(), String> {
    let text = serde_yaml::to_string(script).map_err(|fault| fault.to_string())?;
    println!("{text}");
    let file = folder.join(format!("seed-{}.yaml", script.seed));
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, &text)).map_err(|fault| format!("{}: {fault}", file.display()))?;
    println!("saved as {}; replay it with --replay, keep it by copying it to tests/cases/", file.display());
    Ok(())
}

fn tell(findings: &[Finding]) {
    for finding in findings {
        println!("{}: {}", finding.what, finding.detail);
    }
}
