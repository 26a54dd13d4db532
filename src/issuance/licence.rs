//! Licences: roles that certify end with the person's.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::person::Person;

/// When a licence has ended, in seconds since the epoch: at the beginning of the day after its last one, where the
/// installation is.
pub fn licence_ends(time_zone: &TimeZone, person: &Person) -> Option<i64> {
    let last_day: Date = person.settings.license_expires.as_deref()?.parse().ok()?;
    let next = last_day
        .tomorrow()
        .and_then(|day| day.to_zoned(time_zone.clone()));
    next.map(|midnight| midnight.timestamp().as_second()).ok()
}
