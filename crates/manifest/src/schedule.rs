//! Whether a schedule makes sense, and when it comes next.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::codes::Code;
use crate::findings::Findings;
use crate::project::Schedule;
use crate::raw::ScheduleTable;
use crate::suggest;

impl Schedule {
    /// The schedule at `pointer` of a file, with its cron expression and time zone checked.
    pub(crate) fn resolve(pointer: &str, raw: &ScheduleTable, findings: &mut Findings<'_>) -> Option<Self> {
        let at_cron = format!("{pointer}/cron");
        let fields = raw.cron.split_whitespace().count();
        // The library knows years and nicknames too, which nobody promised.
        let cron = match fields {
            5 | 6 => raw.cron.parse::<Cron>().map_err(|error| cron_problem(&error)),
            0 => Err("it is empty".to_owned()),
            1 => Err("it has one field, not five, or six with seconds".to_owned()),
            _ => Err(format!("it has {fields} fields, not five, or six with seconds")),
        };
        if let Err(problem) = &cron {
            let help = "minute, hour, day of the month, month and day of the week, such as `0 6 * * 1-5`";
            findings.report(Code::BadCron, format!("`{}` is no cron expression", raw.cron), &at_cron, problem, help);
        }
        match jiff::tz::TimeZone::get(&raw.time_zone) {
            Ok(time_zone) => {
                cron.ok()?;
                let schedule = Self { cron: raw.cron.clone(), time_zone };
                if schedule.next_run(Timestamp::UNIX_EPOCH).is_some() {
                    return Some(schedule);
                }
                let help = "for the last day of each month write `L`: `0 6 L * *`";
                findings.report(
                    Code::BadCron,
                    format!("`{}` never comes", raw.cron),
                    &at_cron,
                    "there is no such day",
                    help,
                );
            }
            Err(_) => {
                let names: Vec<_> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
                let help = suggest::among(&raw.time_zone, names.iter().map(String::as_str))
                    .unwrap_or_else(|| "write a name of the IANA time zone database, such as `Europe/Oslo`".to_owned());
                let message = format!("unknown time zone `{}`", raw.time_zone);
                findings.report(
                    Code::UnknownTimeZone,
                    message,
                    &format!("{pointer}/time_zone"),
                    "no such time zone",
                    help,
                );
            }
        }
        None
    }

    /// The first time after `now`; `None` for a schedule that never comes again.
    pub fn next_run(&self, now: Timestamp) -> Option<Timestamp> {
        let cron: Cron = self.cron.parse().ok()?;
        let now = Clock(now.to_zoned_datetime(self.time_zone.clone()));
        Some(cron.find_next_occurrence(&now, false).ok()?.0.timestamp())
    }
}

fn cron_problem(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(text) | CronError::IllegalCharacters(text) | CronError::ComponentError(text) => {
            text.trim_end_matches('.').to_owned()
        }
        _ => "it never comes".to_owned(),
    }
}

/// Time as the cron library asks for it, which knows an older version of the calendar only.
#[derive(Debug, Clone)]
struct Clock(ZonedDateTime);

fn part(part: i8) -> u32 {
    u32::try_from(part).unwrap_or(0)
}

impl CronDateTime for Clock {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let (year, month, day) = (at.year().into(), part(at.month()), part(at.day()));
        let (hour, minute, second) = (part(at.hour()), part(at.minute()), part(at.second()));
        #[expect(clippy::expect_used, reason = "both calendars are Gregorian, and a civil time has no leap seconds")]
        CivilDateTime::from_ymd_hms_opt(year, month, day, hour, minute, second).expect("a date of the calendar")
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(part(self.0.datetime().weekday().to_sunday_zero_offset()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let small = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidDate);
        let at = DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            small(civil.month())?,
            small(civil.day())?,
            small(civil.hour())?,
            small(civil.minute())?,
            small(civil.second())?,
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(at);
        let clock = |found: Result<ZonedDateTime, jiff::Error>| found.map(Self).map_err(|_| CronError::InvalidTime);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(clock(found.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(clock(found.clone().earlier())?, clock(found.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn schedules_are_read_in_their_own_time_zone() {
        let check = |now: &str, cron: &str, zone: &str, expected: &str| {
            let schedule = Schedule { cron: cron.to_owned(), time_zone: TimeZone::get(zone).unwrap() };
            let next = schedule.next_run(now.parse().unwrap()).map(|at| at.to_string());
            assert_eq!(next.as_deref(), Some(expected), "{cron} {zone}");
        };
        check("2026-11-23T22:30:00Z", "0 6 * * 1-5", "Europe/Oslo", "2026-11-24T05:00:00Z");
        check("2026-11-23T22:30:00Z", "0 6 * * 1-5", "UTC", "2026-11-24T06:00:00Z");
        check("2026-11-23T22:30:00Z", "*/15 * * * *", "Asia/Kolkata", "2026-11-23T22:45:00Z");
        check("2026-11-20T22:30:00Z", "0 6 * * 1-5", "UTC", "2026-11-23T06:00:00Z");
        check("2026-02-20T22:30:00Z", "0 6 L * *", "UTC", "2026-02-28T06:00:00Z");
        // Clocks go back during that night, and forward during the next one.
        check("2026-10-24T22:30:00Z", "0 6 * * *", "Europe/Oslo", "2026-10-25T05:00:00Z");
        check("2026-03-28T12:00:00Z", "0 6 * * *", "Europe/Oslo", "2026-03-29T04:00:00Z");
    }

    #[test]
    fn a_day_that_never_comes() {
        let schedule = Schedule { cron: "0 0 30 2 *".to_owned(), time_zone: TimeZone::UTC };
        assert_eq!(schedule.next_run(Timestamp::UNIX_EPOCH), None);
    }
}
