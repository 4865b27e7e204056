//! Which histories of a page are legal.

use std::collections::{BTreeMap, HashMap, HashSet};

/// A page at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) state: String,
    pub(crate) token: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) verifications: i64,
    /// When the lease ends, in microseconds since 1970.
    pub(crate) expires_us: Option<i64>,
    /// When a retry is due, likewise.
    pub(crate) due_us: Option<i64>,
}

/// One change of a page's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) page: String,
    /// `None` when the page is found.
    pub(crate) before: Option<Image>,
    /// `None` when its row is deleted.
    pub(crate) after: Option<Image>,
    /// By the database's clock.
    pub(crate) at_us: i64,
    /// The database's session that made it, where the database knows sessions.
    pub(crate) session: Option<String>,
}

/// Everything that was written down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witnessed {
    /// In the order in which they were made, at least for each page.
    pub(crate) changes: Vec<Change>,
    /// For whom each session counted or beat: the instances of runners.
    pub(crate) sessions: HashMap<String, HashSet<String>>,
    /// Instances that were given up as dead.
    pub(crate) lost: HashSet<String>,
}

/// What a history came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) pages: usize,
    pub(crate) claims: usize,
    pub(crate) completions: usize,
    pub(crate) verifications: usize,
    /// Leases that ended without a finish of their holder: run out, taken back or given back.
    pub(crate) returned: usize,
}

/// Whether all pages were read to their end, each once.
///
/// # Errors
/// The first change that cannot be, or a page that did not come to its end, in words.
pub(crate) fn check(witnessed: &Witnessed) -> Result<Tally, String> {
    let mut pages: BTreeMap<&str, PageLife<'_>> = BTreeMap::new();
    let mut owners: HashMap<&str, &str> = HashMap::new();
    let mut tally = Tally::default();
    for change in &witnessed.changes {
        let life = pages.entry(&change.page).or_default();
        life.take(change, witnessed, &mut owners, &mut tally)
            .map_err(|what| format!("{what}: {change:#?}"))?;
    }
    for (page, life) in &pages {
        life.has_ended().map_err(|what| format!("{page}: {what}"))?;
    }
    tally.pages = pages.len();
    Ok(tally)
}

#[derive(Debug, Default)]
struct PageLife<'a> {
    now: Option<&'a Image>,
    tokens: HashSet<&'a str>,
    completions: usize,
    verifications: usize,
}

impl<'a> PageLife<'a> {
    fn take(
        &mut self,
        change: &'a Change,
        witnessed: &Witnessed,
        owners: &mut HashMap<&'a str, &'a str>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let Some(after) = &change.after else {
            return Err("a page was deleted".to_owned());
        };
        let Some(before) = &change.before else {
            ensure(self.now.is_none(), "a page was found twice")?;
            self.now = Some(after);
            return is_new(after);
        };
        let now = self.now.ok_or("a page changed before it was found")?;
        ensure(has_same_hold(now, before), "a change was not seen by the witness")?;
        match (before.state.as_str(), after.state.as_str()) {
            ("available" | "retryable", "leased") => {
                is_claim(change, before, after, witnessed)?;
                let token = after.token.as_deref().ok_or("a lease without a token")?;
                let owner = after.owner.as_deref().ok_or("a lease without an owner")?;
                ensure(self.tokens.insert(token), "a token was given again")?;
                ensure(
                    *owners.entry(token).or_insert(owner) == owner,
                    "two runners have one token",
                )?;
                tally.claims += 1;
            }
            ("leased", "completed" | "failed" | "skipped" | "retryable") => {
                is_finish(change, before, after, witnessed)?;
                if after.state == "completed" {
                    self.completions += 1;
                    tally.completions += 1;
                }
            }
            ("leased", "available") => {
                is_return(change, before, after, witnessed)?;
                tally.returned += 1;
            }
            ("retryable", "available") => is_promotion(change, before, after)?,
            ("failed", "available") => is_freed(before, after)?,
            ("completed", "available") => {
                is_freed(before, after)?;
                ensure(
                    after.verifications == before.verifications + 1,
                    "a completed page was read again without being verified",
                )?;
                self.verifications += 1;
                tally.verifications += 1;
            }
            ("completed", "completed") => {
                ensure(
                    after.verifications == 0 || after.verifications == before.verifications,
                    "a verification is counted for a page that is not read again",
                )?;
                ensure(
                    has_same_hold(&without_verifications(before), &without_verifications(after)),
                    "a completed page changed",
                )?;
            }
            (from, to) => return Err(format!("no page goes from {from} to {to}")),
        }
        if before.state != "completed" {
            ensure(
                before.verifications == after.verifications,
                "a verification was counted for a page that is not completed",
            )?;
        }
        self.now = Some(after);
        Ok(())
    }

    fn has_ended(&self) -> Result<(), String> {
        let state = self.now.map_or("", |now| now.state.as_str());
        match state {
            "completed" => ensure(
                self.completions == 1 + self.verifications,
                "completed once, and once more for each verification",
            ),
            "skipped" | "unchanged" => Ok(()),
            open => Err(format!("ended {open}")),
        }
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// The same but for what a heartbeat changes.
fn has_same_hold(one: &Image, other: &Image) -> bool {
    let bare = |image: &Image| Image {
        expires_us: None,
        due_us: None,
        ..image.clone()
    };
    bare(one) == bare(other)
}

fn without_verifications(image: &Image) -> Image {
    Image {
        verifications: 0,
        ..image.clone()
    }
}

fn is_new(page: &Image) -> Result<(), String> {
    ensure(
        ["available", "skipped", "unchanged"].contains(&page.state.as_str()),
        "a page is found neither available nor closed",
    )?;
    ensure(
        page.token.is_none() && page.owner.is_none() && page.attempts == 0 && page.verifications == 0,
        "a page that is found has no past",
    )
}

fn is_claim(change: &Change, before: &Image, after: &Image, witnessed: &Witnessed) -> Result<(), String> {
    ensure(
        after.attempts == before.attempts + 1,
        "a claim is one more attempt",
    )?;
    ensure(
        before.state == "available" || before.due_us.is_some_and(|due| due <= change.at_us),
        "a page was claimed before its retry was due",
    )?;
    ensure(
        may_act_for(change, after.owner.as_deref(), witnessed),
        "a lease was given to somebody else than who asked",
    )
}

fn is_finish(change: &Change, before: &Image, after: &Image, witnessed: &Witnessed) -> Result<(), String> {
    ensure(after.owner.is_none(), "a finished page has no holder")?;
    ensure(after.attempts == before.attempts, "a finish is no attempt")?;
    let kept = (after.state != "retryable")
        .then_some(before.token.as_deref())
        .flatten();
    ensure(
        after.token.as_deref() == kept,
        "a page was finished with a token that was not its lease's",
    )?;
    ensure(
        may_act_for(change, before.owner.as_deref(), witnessed),
        "a page was finished by somebody else than its holder",
    )
}

/// A lease is given back by its holder, or was over, or its holder is dead.
fn is_return(change: &Change, before: &Image, after: &Image, witnessed: &Witnessed) -> Result<(), String> {
    ensure(
        after.token.is_none() && after.owner.is_none(),
        "an available page has no holder",
    )?;
    let was_read = after.attempts == before.attempts;
    let is_over = before.expires_us.is_some_and(|expires| expires <= change.at_us);
    let holder_is_lost = before
        .owner
        .as_ref()
        .is_some_and(|owner| witnessed.lost.contains(owner));
    if may_act_for(change, before.owner.as_deref(), witnessed) {
        return ensure(
            was_read || after.attempts == before.attempts - 1,
            "a page given back counts its attempt or does not",
        );
    }
    ensure(was_read, "an attempt of somebody else was taken off")?;
    ensure(
        is_over || holder_is_lost,
        "a lease in force was taken from a living holder",
    )
}

fn is_promotion(change: &Change, before: &Image, after: &Image) -> Result<(), String> {
    is_freed(before, after)?;
    ensure(
        before.due_us.is_some_and(|due| due <= change.at_us),
        "a retry was made available before it was due",
    )
}

fn is_freed(before: &Image, after: &Image) -> Result<(), String> {
    ensure(
        after.token.is_none() && after.owner.is_none() && after.attempts == before.attempts,
        "an available page has no holder, and its attempts are kept",
    )
}

/// Whether the session works for `owner`. Of a session that has neither counted nor beaten nothing is known.
fn may_act_for(change: &Change, owner: Option<&str>, witnessed: &Witnessed) -> bool {
    let known = change
        .session
        .as_ref()
        .and_then(|session| witnessed.sessions.get(session));
    match (known, owner) {
        (Some(instances), Some(owner)) => instances.contains(owner),
        // Only a runner finishes and gives back, and in doing so counts; whoever takes back does not.
        (None, _) => change.session.is_none() || !is_taken_away(change),
        (Some(_), None) => false,
    }
}

fn is_taken_away(change: &Change) -> bool {
    let state = |image: &Option<Image>| image.as_ref().map(|image| image.state.clone());
    (state(&change.before).as_deref(), state(&change.after).as_deref()) == (Some("leased"), Some("available"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(state: &str, holder: Option<(&str, &str)>, attempts: i64) -> Image {
        Image {
            state: state.to_owned(),
            token: holder.map(|(token, _)| token.to_owned()),
            owner: holder
                .map(|(_, owner)| owner.to_owned())
                .filter(|owner| !owner.is_empty()),
            attempts,
            verifications: 0,
            expires_us: (state == "leased").then_some(1000),
            due_us: (state == "retryable").then_some(10),
        }
    }

    fn available(attempts: i64) -> Image {
        image("available", None, attempts)
    }

    fn leased(token: &str, owner: &str, attempts: i64) -> Image {
        image("leased", Some((token, owner)), attempts)
    }

    fn completed(token: &str, attempts: i64) -> Image {
        image("completed", Some((token, "")), attempts)
    }

    fn verified(image: Image) -> Image {
        Image {
            verifications: 1,
            ..image
        }
    }

    /// A page that goes through these images, at times 10, 20 and so on.
    fn life(images: &[Image]) -> Witnessed {
        let befores = std::iter::once(None).chain(images.iter().cloned().map(Some));
        let changes = befores
            .zip(images)
            .zip(1..)
            .map(|((before, after), number)| Change {
                page: "a".to_owned(),
                before,
                after: Some(after.clone()),
                at_us: number * 10,
                session: None,
            });
        Witnessed {
            changes: changes.collect(),
            ..Witnessed::default()
        }
    }

    /// Two sessions, each of the runner of its name, and the session of a third program.
    fn with_sessions(mut witnessed: Witnessed, by: &[&str]) -> Witnessed {
        for name in ["one", "two"] {
            witnessed
                .sessions
                .insert(name.to_owned(), HashSet::from([name.to_owned()]));
        }
        for (change, session) in witnessed.changes.iter_mut().zip(by) {
            change.session = Some((*session).to_owned());
        }
        witnessed
    }

    #[track_caller]
    fn refuses(witnessed: &Witnessed, word: &str) {
        let refusal = check(witnessed).expect_err("this cannot be");
        assert!(refusal.contains(word), "{word} in {refusal}");
    }

    #[test]
    fn a_page_may_be_read_lost_retried_and_verified() {
        let tally = check(&life(&[
            available(0),
            leased("t1", "one", 1),
            available(1),
            leased("t2", "two", 2),
            image("retryable", None, 2),
            available(2),
            leased("t3", "two", 3),
            available(2),
            leased("t4", "one", 3),
            image("retryable", None, 3),
            leased("t5", "one", 4),
            completed("t5", 4),
            verified(available(4)),
            verified(leased("t6", "one", 5)),
            verified(completed("t6", 5)),
            completed("t6", 5),
        ]));
        let expected = Tally {
            pages: 1,
            claims: 6,
            completions: 2,
            verifications: 1,
            returned: 2,
        };
        assert_eq!(tally, Ok(expected));
    }

    #[test]
    fn a_completed_page_is_verified_once() {
        let verification = [
            available(0),
            leased("t1", "one", 1),
            completed("t1", 1),
            verified(available(1)),
            verified(leased("t2", "one", 2)),
            verified(completed("t2", 2)),
        ];
        let tally = check(&life(&verification)).unwrap();
        assert_eq!((tally.completions, tally.verifications), (2, 1));
        let mut again = verification.to_vec();
        again.push(verified(available(2)));
        refuses(&life(&again), "without being verified");
        refuses(
            &life(&[
                available(0),
                leased("t1", "one", 1),
                completed("t1", 1),
                available(1),
            ]),
            "without being verified",
        );
        refuses(
            &life(&[available(0), leased("t1", "one", 1), verified(completed("t1", 1))]),
            "a verification was counted",
        );
    }

    #[test]
    fn a_token_ends_its_own_lease_only_and_is_given_once() {
        refuses(
            &life(&[available(0), leased("t2", "two", 1), completed("t1", 1)]),
            "a token that was not its lease's",
        );
        refuses(
            &life(&[available(0), leased("t1", "one", 1), image("failed", None, 1)]),
            "a token that was not its lease's",
        );
        let retryable = image("retryable", Some(("t1", "")), 1);
        refuses(
            &life(&[available(0), leased("t1", "one", 1), retryable]),
            "a token that was not its lease's",
        );
        refuses(
            &life(&[
                available(0),
                leased("t1", "one", 1),
                available(1),
                leased("t1", "one", 2),
            ]),
            "given again",
        );
        let mut two_pages = life(&[available(0), leased("t1", "one", 1), completed("t1", 1)]);
        let mut other = life(&[available(0), leased("t1", "two", 1), completed("t1", 1)]);
        other
            .changes
            .iter_mut()
            .for_each(|change| change.page = "b".to_owned());
        two_pages.changes.append(&mut other.changes);
        refuses(&two_pages, "two runners have one token");
    }

    #[test]
    fn pages_keep_to_the_ways_there_are() {
        for (images, word) in [
            (
                vec![available(0), completed("t1", 0)],
                "from available to completed",
            ),
            (
                vec![available(0), leased("t1", "one", 1), leased("t2", "two", 2)],
                "from leased to leased",
            ),
            (
                vec![
                    available(0),
                    leased("t1", "one", 1),
                    completed("t1", 1),
                    leased("t2", "two", 2),
                ],
                "from completed to leased",
            ),
            (
                vec![
                    available(0),
                    leased("t1", "one", 1),
                    completed("t1", 1),
                    image("failed", Some(("t1", "")), 1),
                ],
                "from completed to failed",
            ),
            (
                vec![
                    available(0),
                    leased("t1", "one", 1),
                    completed("t1", 1),
                    completed("t2", 1),
                ],
                "a completed page changed",
            ),
            (vec![leased("t1", "one", 1)], "neither available nor closed"),
            (vec![available(1)], "has no past"),
            (vec![available(0), leased("t1", "one", 2)], "one more attempt"),
            (vec![available(0), leased("t1", "", 1)], "without an owner"),
            (
                vec![available(0), leased("t1", "one", 1), completed("t1", 2)],
                "a finish is no attempt",
            ),
            (
                vec![
                    available(0),
                    leased("t1", "one", 1),
                    image("completed", Some(("t1", "one")), 1),
                ],
                "has no holder",
            ),
            (
                vec![
                    available(0),
                    leased("t1", "one", 1),
                    image("available", Some(("t1", "")), 1),
                ],
                "has no holder",
            ),
            (
                vec![available(0), leased("t1", "one", 1), available(5)],
                "counts its attempt or does not",
            ),
        ] {
            refuses(&life(&images), word);
        }
    }

    #[test]
    fn every_page_comes_to_its_end() {
        refuses(&life(&[available(0)]), "ended available");
        refuses(&life(&[available(0), leased("t1", "one", 1)]), "ended leased");
        let failed = image("failed", Some(("t1", "")), 1);
        refuses(
            &life(&[available(0), leased("t1", "one", 1), failed]),
            "ended failed",
        );
        assert!(check(&life(&[image("skipped", None, 0)])).is_ok());
    }

    #[test]
    fn nothing_escapes_the_witness() {
        let whole = life(&[
            available(0),
            leased("t1", "one", 1),
            available(1),
            leased("t2", "two", 2),
            completed("t2", 2),
        ]);
        for missing in 0..4 {
            let mut holed = whole.clone();
            holed.changes.remove(missing);
            let word = if missing == 0 {
                "before it was found"
            } else {
                "not seen"
            };
            refuses(&holed, word);
        }
        let mut twice = whole.clone();
        twice.changes.insert(0, whole.changes[0].clone());
        refuses(&twice, "found twice");
        let mut deleted = whole;
        deleted.changes[4].after = None;
        refuses(&deleted, "deleted");
    }

    #[test]
    fn a_retry_waits_until_it_is_due() {
        for (next, word) in [
            (leased("t2", "one", 2), "before its retry was due"),
            (available(1), "before it was due"),
        ] {
            let later = Image {
                due_us: Some(1000),
                ..image("retryable", None, 1)
            };
            refuses(&life(&[available(0), leased("t1", "one", 1), later, next]), word);
        }
    }

    #[test]
    fn a_lease_in_force_is_nobody_elses_business() {
        let read = [available(0), leased("t1", "one", 1), completed("t1", 1)];
        let own = with_sessions(life(&read), &["third", "one", "one"]);
        assert!(check(&own).is_ok());
        let foreign = with_sessions(life(&read), &["third", "one", "two"]);
        refuses(&foreign, "somebody else than its holder");
        let given = with_sessions(life(&read), &["third", "two", "one"]);
        refuses(&given, "somebody else than who asked");

        let lost = [
            available(0),
            leased("t1", "one", 1),
            available(1),
            leased("t2", "two", 2),
            completed("t2", 2),
        ];
        for thief in ["two", "third"] {
            let mut stolen = with_sessions(life(&lost), &["third", "one", thief, "two", "two"]);
            refuses(&stolen, "taken from a living holder");
            let mut over = stolen.clone();
            over.changes[2].before.as_mut().unwrap().expires_us = Some(20);
            assert!(check(&over).is_ok());
            stolen.lost.insert("one".to_owned());
            assert!(check(&stolen).is_ok());
        }
        let uncounted = [
            available(0),
            leased("t1", "one", 1),
            available(0),
            leased("t2", "two", 1),
            completed("t2", 1),
        ];
        let by_holder = with_sessions(life(&uncounted), &["third", "one", "one", "two", "two"]);
        assert!(check(&by_holder).is_ok());
        let by_other = with_sessions(life(&uncounted), &["third", "one", "third", "two", "two"]);
        refuses(&by_other, "an attempt of somebody else");
    }
}
