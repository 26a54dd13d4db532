//! Bars over time, drawn on the server, with the numbers beside them.

use std::collections::BTreeMap;

use crate::audit::activity::{self, HOUR};
use crate::clock::local_time::Zone;
use crate::store::activity::Count;

/// The height of the bars.
const HEIGHT: i64 = 160;
/// The width of all bars together.
const WIDTH: i64 = 720;

/// Over which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// 24 hours.
    Day,
    /// 30 days.
    Month,
}

impl Span {
    /// The one that the address asks for.
    pub fn of(word: &str) -> Self {
        if word == "30d" { Self::Month } else { Self::Day }
    }

    /// The beginnings of its parts.
    pub fn parts(self, zone: &Zone, now: i64) -> Vec<i64> {
        match self {
            Self::Day => (0..24)
                .rev()
                .map(|back| now - now.rem_euclid(HOUR) - back * HOUR)
                .collect(),
            Self::Month => zone.days_until(now, 30),
        }
    }

    /// A part in a few letters.
    fn label(self, zone: &Zone, begin: i64) -> String {
        match self {
            Self::Day => zone.hour(begin),
            Self::Month => zone.day(begin),
        }
    }

    /// How many parts lie between those that are labelled.
    fn step(self) -> usize {
        match self {
            Self::Day => 4,
            Self::Month => 5,
        }
    }
}

/// What is drawn: what worked below, what was refused on top.
#[derive(Debug)]
pub struct Chart {
    /// Its id in the page.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// What the lower part of a bar is.
    pub good: &'static str,
    /// What the upper part is.
    pub bad: &'static str,
    /// How much the highest bar stands for.
    pub most: i64,
    /// All of the lower parts.
    pub all_good: i64,
    /// All of the upper parts.
    pub all_bad: i64,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Debug)]
pub struct Bar {
    /// Its part of the time.
    pub label: String,
    /// Whether that is written under it.
    pub labelled: bool,
    /// How much worked.
    pub good: i64,
    /// How much was refused.
    pub bad: i64,
    /// Where it stands.
    pub x: i64,
    /// Its width.
    pub width: i64,
    /// Top and height of the lower part.
    pub good_y: i64,
    /// Height.
    pub good_height: i64,
    /// Top and height of the upper part.
    pub bad_y: i64,
    /// Height.
    pub bad_height: i64,
}

/// How something is counted.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// Its id in the page.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What worked, in words and in the counts.
    pub good: (&'static str, &'static str),
    /// What did not.
    pub bad: (&'static str, &'static [&'static str]),
}

/// Signing in.
pub const SIGN_INS: Counted = Counted {
    id: "sign-ins",
    title: "Sign-ins",
    good: ("Signed in", activity::SIGN_IN),
    bad: ("Failed", &[activity::SIGN_IN_FAILED]),
};
/// Asking for tokens.
pub const TOKENS: Counted = Counted {
    id: "tokens",
    title: "Token requests",
    good: ("Tokens given", activity::TOKEN),
    bad: ("Refused", &[activity::TOKEN_REFUSED, activity::CLIENT_FAILED]),
};

/// The chart of some counts.
pub fn chart(counted: Counted, counts: &[Count], span: Span, parts: &[i64], zone: &Zone) -> Chart {
    let mut sums: Vec<(i64, i64)> = vec![(0, 0); parts.len()];
    for count in counts {
        let part = parts.partition_point(|begin| *begin <= count.hour).checked_sub(1);
        if let Some(sum) = part.and_then(|part| sums.get_mut(part)) {
            if count.what == counted.good.1 {
                sum.0 += count.count;
            } else if counted.bad.1.contains(&count.what.as_str()) {
                sum.1 += count.count;
            }
        }
    }
    let most = sums.iter().map(|(good, bad)| good + bad).max().unwrap_or(0);
    let width = WIDTH / i64::try_from(parts.len().max(1)).unwrap_or(1);
    // What happened at all can be seen.
    let height = |count: i64| {
        if count == 0 {
            0
        } else {
            (count * HEIGHT / most.max(1)).max(2)
        }
    };
    let mut x = 0;
    let bars = parts
        .iter()
        .zip(&sums)
        .enumerate()
        .map(|(place, (begin, (good, bad)))| {
            let (good_height, bad_height) = (height(*good), height(*bad));
            let bar = Bar {
                label: span.label(zone, *begin),
                labelled: place % span.step() == 0,
                good: *good,
                bad: *bad,
                x,
                width: width - 4,
                good_y: HEIGHT + 10 - good_height,
                good_height,
                bad_y: HEIGHT + 10 - good_height - bad_height,
                bad_height,
            };
            x += width;
            bar
        });
    let bars = bars.collect();
    let (all_good, all_bad) = sums
        .iter()
        .fold((0, 0), |all, sum| (all.0 + sum.0, all.1 + sum.1));
    Chart {
        id: counted.id,
        title: counted.title,
        good: counted.good.0,
        bad: counted.bad.0,
        most,
        all_good,
        all_bad,
        bars,
    }
}

/// How often something was refused for a reason.
#[derive(Debug)]
pub struct Reason {
    /// The reason.
    pub words: &'static str,
    /// How often.
    pub count: i64,
    /// The length of its bar, of 100.
    pub length: i64,
}

/// The reasons of what did not work, the most frequent first.
pub fn reasons(counted: Counted, counts: &[Count]) -> Vec<Reason> {
    let mut sums: BTreeMap<&'static str, i64> = BTreeMap::new();
    for count in counts
        .iter()
        .filter(|count| counted.bad.1.contains(&count.what.as_str()))
    {
        *sums.entry(activity::in_words(&count.reason)).or_default() += count.count;
    }
    let most = sums.values().copied().max().unwrap_or(1).max(1);
    let reason = |(words, count): (&'static str, i64)| Reason {
        words,
        count,
        length: (count * 100 / most).max(1),
    };
    let mut reasons: Vec<Reason> = sums.into_iter().map(reason).collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    reasons
}
