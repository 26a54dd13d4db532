//! Times and days as people read them where they are.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::model::person::PersonSettings;

/// A moment, for a `<time>` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// RFC 3339 with the zone's offset, to the second.
    pub machine: String,
    /// "November 21, 2026, 2:05 a.m. EST".
    pub words: String,
}

/// The time zone of a person.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone that an administrator entered for the person (`zoneinfo`, OpenID Connect Core §5.1) if it is one of the
    /// IANA database, else that of the installation.
    pub fn of(settings: &PersonSettings, installation: &TimeZone) -> Self {
        let named = settings.claims.get("zoneinfo").and_then(|zone| zone.as_str());
        let known = named
            .filter(|name| is_zone(name))
            .and_then(|name| TimeZone::get(name).ok());
        Self(known.unwrap_or_else(|| installation.clone()))
    }

    /// When a day `YYYY-MM-DD` begins there, in seconds since the epoch; none: there is no such day.
    pub fn begins(&self, day: &str) -> Option<i64> {
        self.begin_of(day.parse().ok()?)
    }

    /// When the day after a day `YYYY-MM-DD` begins there.
    pub fn ends(&self, day: &str) -> Option<i64> {
        self.begin_of(day.parse::<Date>().ok()?.tomorrow().ok()?)
    }

    /// When the last `count` days began there, today as the last of them.
    pub fn days_until(&self, now: i64, count: i64) -> Vec<i64> {
        let today = Timestamp::from_second(now)
            .unwrap_or_default()
            .to_zoned(self.0.clone())
            .date();
        let day = |back: i64| self.begin_of(today.checked_sub(Span::new().days(back)).ok()?);
        (0..count).rev().filter_map(day).collect()
    }

    /// A moment by its hour: "9 p.m.".
    pub fn hour(&self, seconds: i64) -> String {
        let at = Timestamp::from_second(seconds)
            .unwrap_or_default()
            .to_zoned(self.0.clone());
        format!(
            "{} {}",
            at.strftime("%-I"),
            if at.hour() < 12 { "a.m." } else { "p.m." }
        )
    }

    /// A moment by its day: "Nov 21".
    pub fn day(&self, seconds: i64) -> String {
        let at = Timestamp::from_second(seconds)
            .unwrap_or_default()
            .to_zoned(self.0.clone());
        at.strftime("%b %-d").to_string()
    }

    /// A moment, in words by its day: "Nov 21, 2026".
    pub fn date(&self, seconds: i64) -> When {
        let at = Timestamp::from_second(seconds)
            .unwrap_or_default()
            .to_zoned(self.0.clone());
        When {
            words: at.strftime("%b %-d, %Y").to_string(),
            ..self.when(seconds)
        }
    }

    fn begin_of(&self, day: Date) -> Option<i64> {
        day.to_zoned(self.0.clone())
            .map(|midnight| midnight.timestamp().as_second())
            .ok()
    }

    /// A moment in seconds since the epoch; one that no calendar has is the epoch.
    pub fn when(&self, seconds: i64) -> When {
        let at = Timestamp::from_second(seconds)
            .unwrap_or_default()
            .to_zoned(self.0.clone());
        let half = if at.hour() < 12 { "a.m." } else { "p.m." };
        let mut zone = at.strftime("%Z").to_string();
        // Many zones have no letters of their own: their abbreviation is the offset.
        if zone.starts_with(['+', '-']) {
            zone = format!("UTC{}", at.strftime("%:z"));
        }
        When {
            machine: at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            words: format!("{} {half} {zone}", at.strftime("%B %-d, %Y, %-I:%M")),
        }
    }
}

fn is_zone(name: &str) -> bool {
    TimeZone::get(name).is_ok_and(|zone| !zone.is_unknown())
}

/// Checks the name of a time zone that somebody enters.
///
/// # Errors
/// What was found and what is wanted.
pub fn check_zone(name: &str) -> Result<(), String> {
    let wanted = || format!("{name:?} must be a time zone of the IANA database, such as America/New_York");
    if is_zone(name) { Ok(()) } else { Err(wanted()) }
}

/// A day `YYYY-MM-DD` in words: "March 31, 2027". What is no such day stays as it is.
pub fn day_in_words(day: &str) -> String {
    day.parse::<Date>()
        .map_or_else(|_| day.to_owned(), |date| date.strftime("%B %-d, %Y").to_string())
}
