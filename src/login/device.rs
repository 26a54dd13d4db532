//! What a browser calls itself, in the words of those who use it. Browsers name their relatives as well, so the order of
//! the rules counts; what none of them knows is "A browser".

/// A part of the browser's text, and what people call the browser.
const BROWSERS: [(&str, &str); 12] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
    ("Trident/", "Internet Explorer"),
];

/// A part of the browser's text, and what people call the device or its system.
const DEVICES: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "Chromebook"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
];

/// A browser in words, from its `User-Agent` (RFC 9110 §10.1.5): "Firefox on Windows".
pub fn in_words(user_agent: &str) -> String {
    let first = |rules: &[(&str, &'static str)]| {
        rules
            .iter()
            .find(|(part, _)| user_agent.contains(part))
            .map(|(_, name)| *name)
    };
    // Programs that are no browsers name a system as well.
    let browser = first(&BROWSERS).filter(|_| user_agent.starts_with("Mozilla/5.0 ("));
    match (browser, first(&DEVICES)) {
        (Some(browser), Some(device)) => format!("{browser} on {device}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => "A browser".to_owned(),
    }
}
