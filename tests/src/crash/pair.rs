//! A project whose runs are disturbed, and its twin, whose runs are not.

use std::collections::BTreeSet;
use std::fs;
use std::mem::swap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use segport_sandbox::{Options, Sandbox};

use super::Figures;
use super::blow::Blow;
use super::dice::Dice;
use super::picture::{Membership, Picture};
use super::world::{Owner, SEGMENTS, World};
use crate::{Ended, FullDisk, Gate, Last, Report, Scene, Segport};

/// How both are set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) customers: u32,
    pub(super) segments: usize,
    pub(super) rows_per_batch: u32,
    pub(super) max_in_flight: u32,
    pub(super) list_membership: &'static str,
    /// Whether the destination heeds lists in bulk calls.
    pub(super) bulk_lists: bool,
    /// Whether the ledger folds its pages all the time.
    pub(super) folds: bool,
    /// Whether the index of rows is in files, as that of very many rows is.
    pub(super) index_in_files: bool,
    /// Accounts that the connection has in turn, one or two.
    pub(super) accounts: u32,
}

impl Shape {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let (list_membership, bulk_lists) =
            dice.pick(&[("probe", true), ("probe", true), ("bulk", true), ("probe", false), ("single", true)]);
        Self {
            customers: dice.between(40..=250),
            segments: dice.pick(&[1, 2, 2]),
            rows_per_batch: dice.between(5..=20),
            max_in_flight: dice.between(1..=4),
            list_membership,
            bulk_lists,
            folds: dice.hits(40),
            index_in_files: dice.hits(25),
            accounts: dice.pick(&[1, 1, 2]),
        }
    }

    fn options(&self) -> Options {
        Options { bulk_lists: self.bulk_lists, ..Options::default() }
    }

    fn scene(&self) -> Scene {
        let scene = Scene::with(self.options(), &[]);
        SEGMENTS.iter().for_each(|id| scene.segment(id, &[]));
        let guards = "[guards]\nmax_removals = \"100%\"\nmax_growth = 1000\nmax_shrink = \"100%\"\nmax_refused = \"100%\"\nallow_empty = true";
        scene.segments(&SEGMENTS[..self.segments], guards);
        scene
    }

    fn settings(&self) -> String {
        let Self { rows_per_batch, max_in_flight, list_membership, .. } = self;
        format!(
            "rows_per_batch = {rows_per_batch}\nmax_in_flight = {max_in_flight}\nlist_membership = \"{list_membership}\""
        )
    }
}

/// A project whose runs are disturbed, and its twin.
#[derive(Debug)]
pub(super) struct Pair {
    shape: Shape,
    pub(super) world: World,
    disturbed: Scene,
    gate: Gate,
    twin: Scene,
    /// Their other account, if they have one.
    elsewhere: Option<Elsewhere>,
    /// Addresses that came into the source, or left it, in passing: before it changed once more.
    doubtful: BTreeSet<String>,
    /// Who was in which segment with which address in passing, and so may have a contact with it here and none at the twin.
    passing: BTreeSet<Owner>,
    round: Round,
}

/// An account of each that is not in use.
#[derive(Debug)]
struct Elsewhere {
    disturbed: Sandbox,
    gate: Gate,
    twin: Sandbox,
    /// What both held when they were left.
    held: [Picture; 2],
    /// Who had been left on a list there.
    strays: BTreeSet<Membership>,
}

impl Elsewhere {
    fn new(shape: Shape) -> Self {
        let [disturbed, twin] = [(); 2].map(|()| Sandbox::start(shape.options()).unwrap());
        let held = [&disturbed, &twin].map(Picture::of);
        Self { gate: Gate::new(&disturbed), disturbed, twin, held, strays: BTreeSet::new() }
    }
}

/// What has happened since the last settlement.
#[derive(Debug, Default)]
struct Round {
    blows: u64,
    /// Whether all rows are to be sent again.
    is_full: bool,
    /// How often the source changed after a blow.
    detours: u64,
    /// Who was on a list when it began.
    members: BTreeSet<Membership>,
    /// The addresses that the source had by then.
    emails: BTreeSet<String>,
    /// Who had been left on one by then.
    strays: BTreeSet<Membership>,
    /// Contacts written so far, here and at the twin.
    writes: [u64; 2],
    twin_took: Duration,
    twin_asked: u32,
}

impl Pair {
    pub(super) fn new(shape: Shape, dice: &mut Dice) -> Self {
        let (mut disturbed, twin) = (shape.scene(), shape.scene());
        let gate = Gate::new(&disturbed.sandbox);
        disturbed.through(&gate, &shape.settings());
        twin.connection(&shape.settings());
        fs::create_dir(disturbed.path("tmp")).unwrap();
        let world = World::new(shape.customers, shape.segments, dice);
        let round = Round { twin_took: Duration::from_millis(500), twin_asked: 40, ..Round::default() };
        let elsewhere = (shape.accounts > 1).then(|| Elsewhere::new(shape));
        Self {
            shape,
            world,
            disturbed,
            gate,
            twin,
            elsewhere,
            doubtful: BTreeSet::new(),
            passing: BTreeSet::new(),
            round,
        }
    }

    fn run(&self, scene: &Scene) -> Segport {
        self.segport(scene, "run --output json")
    }

    fn segport(&self, scene: &Scene, words: &str) -> Segport {
        let run = scene.segport(words).env("TMPDIR", self.tmp());
        let run = if self.shape.folds { run.env("SEGPORT_FOLDING", "0") } else { run };
        if self.shape.index_in_files { run.env("SEGPORT_INDEX_MEMORY", "0") } else { run }
    }

    /// Where the program has its temporary files.
    fn tmp(&self) -> PathBuf {
        self.disturbed.path("tmp")
    }

    /// Requests that a run made lately.
    pub(super) fn usual_requests(&self) -> u32 {
        self.round.twin_asked
    }

    /// Takes the connections to the other account, which must be as it was left; whether there is one.
    pub(super) fn relocate(&mut self) -> bool {
        let Some(elsewhere) = &mut self.elsewhere else { return false };
        let held = [&elsewhere.disturbed, &elsewhere.twin].map(Picture::of);
        assert!(
            held == elsewhere.held,
            "an account that was not in use has changed: {held:?}, not {:?}",
            elsewhere.held
        );
        elsewhere.held = [&self.disturbed.sandbox, &self.twin.sandbox].map(Picture::of);
        swap(&mut self.gate, &mut elsewhere.gate);
        swap(&mut self.round.strays, &mut elsewhere.strays);
        let settings = self.shape.settings();
        self.disturbed.relocate(&mut elsewhere.disturbed, &settings);
        self.disturbed.through(&self.gate, &settings);
        self.twin.relocate(&mut elsewhere.twin, &settings);
        self.round.members = Picture::of(&self.twin.sandbox).members();
        self.round.writes = self.writes();
        true
    }

    /// Disturbs a run; whether that came in time.
    pub(super) fn strike(&mut self, blow: Blow, figures: &Figures) -> bool {
        let usual = self.round.twin_took;
        self.disturb("run --output json", |run, gate| blow.strike(run, gate, usual), "failpoint", figures)
    }

    /// Takes some people off their lists by hand, and disturbs a run that must put them back; whether that is on record now, so
    /// that the next run without further ado must do it.
    pub(super) fn strike_full(&mut self, blow: Blow, dice: &mut Dice, figures: &Figures) -> bool {
        // Where bulk calls do not heed lists and those who are looked up are on them, the others are taken to be.
        if self.shape.bulk_lists {
            for Membership { title, email } in self.round.members.iter().filter(|_| dice.hits(5)) {
                for autopilot in [self.disturbed.sandbox.autopilot(), self.twin.sandbox.autopilot()] {
                    let lists = autopilot.counts().lists;
                    let list = lists.iter().find(|list| list.title == *title).expect("it has members");
                    autopilot.take_off(&list.list_id, email);
                }
            }
        }
        self.world.write(&self.disturbed);
        let (usual, [before, _], unchanged) = (self.round.twin_took, self.writes(), self.unchanged());
        let struck =
            self.disturb("run --full --output json", |run, gate| blow.strike(run, gate, usual), "failpoint", figures);
        // Nothing is sent before it is on record, and nothing is unchanged from then on until it was sent. Where nothing was
        // unchanged before, as at another account, that tells nothing.
        self.round.is_full = !struck || self.writes()[0] > before || (unchanged > 0 && self.unchanged() == 0);
        self.round.is_full
    }

    /// How many rows a run would leave as they are.
    fn unchanged(&self) -> u64 {
        let plan = self.segport(&self.disturbed, "plan --output json").run();
        plan.exits(0).objects()[0]["rows"]["unchanged"].as_u64().unwrap()
    }

    /// Lets a run find no space from its nth change of the state on; which change that was, if it had as many.
    pub(super) fn fill_disk(&mut self, disk: &FullDisk, nth: u32, last: Last, figures: &Figures) -> Option<String> {
        let failed = self.disturb("run --output json", |run, _| disk.under(run, nth, last).run(), "SP0602", figures);
        let struck = disk.struck();
        assert!(struck.is_some() || !failed, "it failed before change {nth}");
        if !failed {
            // A run that says that it succeeded has written everything down, whatever it found no space for.
            self.has_nothing_to_do();
        }
        struck
    }

    /// Lets a run be disturbed; whether it died or failed. If it failed it must say why, with these words.
    fn disturb(
        &mut self,
        command: &str,
        disturb: impl FnOnce(Segport, &Gate) -> Ended,
        words: &str,
        figures: &Figures,
    ) -> bool {
        self.world.write(&self.disturbed);
        let ended = disturb(self.segport(&self.disturbed, command), &self.gate);
        let struck = if ended.was_killed() {
            figures.kills.add(1);
            let left: Vec<_> = fs::read_dir(self.tmp()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "a killed run leaves temporary files behind: {left:?}");
            true
        } else if ended.code() == 0 {
            // It was over before, or what failed was of no consequence.
            figures.missed.add(1);
            false
        } else {
            failed_well(&ended, words);
            figures.failures.add(1);
            true
        };
        self.round.blows += u64::from(struck);
        struck
    }

    /// Lets the source change before a run has seen the last change through.
    pub(super) fn detour(&mut self, dice: &mut Dice) {
        let passing = self.world.emails();
        // A run that was over before it could be struck has taken these off, whatever becomes of their owners: who had left by
        // then, and who was on a list with an address of earlier, because that of the source could not be used.
        let members = self.round.members.iter().map(|member| &member.email);
        let known = self.round.emails.iter().chain(members);
        self.doubtful.extend(known.filter(|email| !passing.contains(*email)).cloned());
        self.doubtful.extend(passing);
        self.passing.extend(self.world.owners());
        self.round.detours += 1;
        self.world.turn(10, dice);
    }

    /// Lets a run through here and at the twin, and compares.
    pub(super) fn settle(&mut self, figures: &Figures) {
        self.world.write(&self.twin);
        self.world.write(&self.disturbed);
        let begun = Instant::now();
        let command = if self.round.is_full { "run --full --output json" } else { "run --output json" };
        let undisturbed = self.segport(&self.twin, command).run().exits(0).report();
        self.round.twin_took = begun.elapsed();
        self.round.twin_asked = u32::try_from(undisturbed.requests()).unwrap();
        self.run(&self.disturbed).run().exits(0).report();
        if !self.doubtful.is_empty() {
            // Somebody may have come in passing and has come back: only now is it known where to take them off.
            let further = self.run(&self.disturbed).run().exits(0).report();
            assert_eq!(further.count("rows", "added") + further.count("rows", "changed"), 0, "{further:?}");
        }
        let strays = self.is_like_its_twin(figures);
        self.has_nothing_to_do();
        let members = Picture::of(&self.twin.sandbox).members();
        let Round { twin_took, twin_asked, .. } = self.round;
        let (emails, writes) = (self.world.emails(), self.writes());
        self.round = Round { members, emails, strays, writes, twin_took, twin_asked, ..Round::default() };
        figures.rounds.add(1);
    }

    /// Compares the two; returns who was left on a list here.
    fn is_like_its_twin(&self, figures: &Figures) -> BTreeSet<Membership> {
        let (here, there) = (Picture::of(&self.disturbed.sandbox), Picture::of(&self.twin.sandbox));
        let strays = here.is_like(&there, &self.world.own_emails(), &self.doubtful);
        // Who strayed earlier may stay for good: while two share an address, nobody is taken off on account of it.
        let new: BTreeSet<_> = strays.difference(&self.round.strays).cloned().collect();
        if self.round.detours == 1 {
            let kept = self.world.kept(self.passing.clone());
            let known: Vec<_> = new.intersection(&self.round.members).filter(|known| !kept.contains(known)).collect();
            assert!(known.is_empty(), "left behind on a list although they were known: {known:?}");
        }
        figures.strays.add(new.len() as u64);
        if self.round.detours == 0 {
            let [here, there] = [0, 1].map(|side| self.writes()[side] - self.round.writes[side]);
            // There may be fewer: of rows in doubt, those that the destination holds as they should be are not written, even
            // if no earlier run had come to them. What it holds was compared above.
            let repeated = here.saturating_sub(there);
            let in_flight = u64::from(self.shape.rows_per_batch * self.shape.max_in_flight);
            assert!(
                repeated <= self.round.blows * in_flight,
                "{repeated} rows repeated after {} blows, {in_flight} in flight",
                self.round.blows
            );
            figures.repeated.add(repeated);
        }
        strays
    }

    /// Compares how many rows the ledgers know to be held, unless somebody came and left in between.
    pub(super) fn ledgers_hold_the_same(&self) {
        if self.doubtful.is_empty() {
            assert_eq!(held(&self.disturbed), held(&self.twin), "rows held");
        }
    }

    fn has_nothing_to_do(&self) {
        let ended = self.run(&self.disturbed).run();
        let report = ended.exits(0).report();
        let sent = ["added", "changed", "deferred", "refused", "unknown"].map(|name| report.count("rows", name));
        assert_eq!((report.requests(), sent), (0, [0; 5]), "a run after a settled one sends something: {ended}");
    }

    fn writes(&self) -> [u64; 2] {
        [&self.disturbed, &self.twin].map(|scene| scene.sandbox.autopilot().counts().tallies.contact_writes)
    }
}

/// An operation that failed is told of in a report or, before there can be one, as an error.
fn failed_well(ended: &Ended, words: &str) {
    match ended.code() {
        1 => {
            let report: Report = ended.report();
            assert_eq!(report.0["status"], "failed", "{ended}");
            assert!(report.problems().contains(&"SP0602"), "{ended}");
            ended.prints(words);
        }
        2 => drop(ended.says("SP0602").says(words)),
        code => panic!("exit code {code}: {ended}"),
    }
}

fn held(scene: &Scene) -> u64 {
    let status = scene.call("status --output json");
    status.exits(0).objects()[0]["rows_held"].as_u64().unwrap()
}
