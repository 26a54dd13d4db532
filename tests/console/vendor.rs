//! The vendor's own link: what it shows to somebody without an account, and when it shows nothing.

use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::console::{STAFF, at_console, send, text_of};
use crate::harness::Harness;
use crate::harness::agent::{Agent, hidden_fields};
use crate::harness::assertion::{ClientKey, claims};
use crate::on_both;

const DAY: i64 = 86_400;
const MAKE: &str = "/admin/clients/lims-secret/vendor-link";
const END: &str = "/admin/clients/lims-secret/end-vendor-link";

fn started(db: crate::harness::Db) -> Harness {
    let harness = Harness::start(db);
    harness.apply(STAFF);
    harness
}

/// Makes a link at the console.
async fn make(agent: &mut Agent<'_>, harness: &Harness, days: &str) -> String {
    let form = agent.get(&harness.url(MAKE)).await;
    let page = send(agent, &form, MAKE, &[("days", days)]).await;
    assert_eq!(
        (page.at(), page.answer().status),
        ("/admin/clients/lims-secret/hand-off", 200)
    );
    text_of(&page, "once-value")
}

/// What a link shows to somebody who comes with nothing else.
async fn status(harness: &Harness, link: &str) -> u16 {
    Agent::new(harness).get(link).await.answer().status
}

on_both! {
    async fn whoever_has_the_link_sees_the_sheet_and_checks_the_connection(db) {
        let harness = started(db);
        let mut manager = at_console(&harness, "clients").await;
        let link = make(&mut manager, &harness, "30").await;
        let secret = link.strip_prefix(&harness.url("/vendor/")).unwrap().to_owned();
        let again = manager.get(&harness.url("/admin/clients/lims-secret/hand-off")).await;
        assert!(!again.answer().text.contains(&secret), "it is shown once");
        assert!(again.answer().text.contains("It works until"));

        let mut vendor = Agent::new(&harness);
        let sheet = vendor.get(&link).await;
        assert_eq!((sheet.at(), sheet.answer().status), ("/vendor", 200), "the address loses the secret");
        let text = &sheet.answer().text;
        assert!(text.contains("lims-secret") && text.contains(&harness.url("/oauth2/token")), "{text}");
        assert!(!text.contains(&secret) && !text.contains("/admin"), "nothing leads into the console: {text}");
        let file = vendor.get(&harness.url("/vendor/hand-off.txt")).await;
        assert!(file.answer().text.contains(&text_of(&sheet, "sample-1")));
        let authority = vendor.get(&harness.url("/vendor/ca.pem")).await;
        assert!(authority.answer().text.starts_with("-----BEGIN CERTIFICATE-----"));
        // Neither the cookie nor the link opens anything else.
        for path in ["/admin/clients/lims-secret/hand-off", "/admin/ca.pem", "/account"] {
            assert_eq!(vendor.get(&harness.url(path)).await.at(), "/login", "{path}");
        }

        let form = vendor.get(&harness.url("/vendor/check")).await;
        let report = send(&mut vendor, &form, "/vendor/check", &[("pasted", "{\"error\":\"invalid_client\"}")]).await;
        assert!(report.answer().text.contains("could not prove who it is"), "{}", report.answer().text);
        let nothing = send(&mut vendor, &form, "/vendor/check", &[("pasted", "")]).await;
        assert_eq!(nothing.answer().status, 422);
        let markup = send(&mut vendor, &form, "/vendor/check", &[("pasted", "<script>alert(1)</script>")]).await;
        assert!(!markup.answer().text.contains("<script>alert"));
        // A form of another site or browser, and one without any.
        assert_eq!(vendor.post("/vendor/check", &[]).await.answer().status, 400);
        let theirs = hidden_fields(&manager.get(&harness.url(MAKE)).await.answer().text);
        assert_eq!(vendor.post("/vendor/check", &theirs).await.answer().status, 400);

        let (changed, opened) = (harness.events("vendor_link.changed"), harness.events("vendor_link.opened"));
        assert_eq!((changed.len(), &changed[0]["detail"]["action"], &changed[0]["client_id"]), (1, &json!("made"), &json!("lims-secret")));
        assert_eq!((opened.len(), &opened[0]["client_id"], &opened[0]["outcome"]), (1, &json!("lims-secret"), &json!("0")));
        assert!(opened[0]["address"].is_string());
        assert!(!format!("{changed:?}{opened:?}").contains(&secret), "no secret stands in the record");
    }
}

on_both! {
    async fn a_link_that_holds_no_more_shows_nothing_and_says_nothing_of_why(db) {
        let harness = started(db);
        let mut manager = at_console(&harness, "clients").await;
        let unknown = harness.url("/vendor/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let told = Agent::new(&harness).get(&unknown).await;
        assert_eq!(told.answer().status, 400);
        assert_eq!(Agent::new(&harness).get(&harness.url("/vendor")).await.answer().text, told.answer().text);

        let first = make(&mut manager, &harness, "7").await;
        let mut visitor = Agent::new(&harness);
        assert_eq!(visitor.get(&first).await.answer().status, 200);
        // Replaced.
        let second = make(&mut manager, &harness, "7").await;
        for page in ["/vendor", "/vendor/check", "/vendor/hand-off.txt", "/vendor/ca.pem"] {
            let refused = visitor.get(&harness.url(page)).await;
            assert_eq!((refused.answer().status, &refused.answer().text), (400, &told.answer().text), "{page}");
        }
        assert_eq!((status(&harness, &first).await, status(&harness, &second).await), (400, 200));
        // Ended, twice.
        for events in [3, 3] {
            let form = manager.get(&harness.url(END)).await;
            send(&mut manager, &form, END, &[]).await;
            assert_eq!(harness.events("vendor_link.changed").len(), events);
        }
        assert_eq!(status(&harness, &second).await, 400);
        // While the client is disabled.
        let third = make(&mut manager, &harness, "30").await;
        harness.apply("[[client]]\nclient_id = \"lims-secret\"\nenabled = false");
        assert_eq!(status(&harness, &third).await, 400);
        let sheet = manager.get(&harness.url("/admin/clients/lims-secret/hand-off")).await;
        assert!(sheet.answer().text.contains("shows nothing while the client is disabled"));
        let form = manager.get(&harness.url(MAKE)).await;
        let refused = send(&mut manager, &form, MAKE, &[("days", "7")]).await;
        assert_eq!(refused.answer().status, 422);
        assert!(refused.answer().text.contains("is disabled"), "{}", refused.answer().text);
        harness.apply("[[client]]\nclient_id = \"lims-secret\"\nenabled = true");
        assert_eq!(status(&harness, &third).await, 200);
        // When its time is over, or its client is gone.
        harness.clock.advance(30 * DAY - 1);
        assert_eq!(status(&harness, &third).await, 200);
        harness.clock.advance(1);
        assert_eq!(status(&harness, &third).await, 400);
        let mut manager = at_console(&harness, "clients").await;
        let sheet = manager.get(&harness.url("/admin/clients/lims-secret/hand-off")).await;
        assert!(sheet.answer().text.contains("It ended on"));
        let fourth = make(&mut manager, &harness, "7").await;
        let delete = "/admin/clients/lims-secret/delete";
        let form = manager.get(&harness.url(delete)).await;
        send(&mut manager, &form, delete, &[]).await;
        assert_eq!(status(&harness, &fourth).await, 400);
        let reasons: Vec<_> = harness.events("vendor_link.opened").into_iter().filter(|event| event["outcome"] == "4").map(|event| event["detail"]["reason"].clone()).collect();
        assert!(reasons.contains(&json!("link has expired")) && reasons.contains(&json!("client is disabled or gone")), "{reasons:?}");
    }
}

on_both! {
    async fn what_cannot_be_made_is_told_and_nothing_is_made(db) {
        let harness = started(db);
        let mut manager = at_console(&harness, "clients").await;
        for days in ["", "x", "0", "-1", "366", "99999999999999999999"] {
            let form = manager.get(&harness.url(MAKE)).await;
            let page = send(&mut manager, &form, MAKE, &[("days", days)]).await;
            assert_eq!(page.answer().status, 422, "{days:?}");
            assert!(page.answer().text.contains("id=\"days-error\""), "{days:?}");
        }
        // The auditor looks at the sheet and makes nothing; neither does the user manager.
        let fields = hidden_fields(&manager.get(&harness.url(MAKE)).await.answer().text);
        for username in ["auditor", "users"] {
            let mut agent = at_console(&harness, username).await;
            for path in [MAKE, END] {
                assert_eq!(agent.get(&harness.url(path)).await.answer().status, 403, "{username} {path}");
                assert_eq!(agent.post(path, &fields).await.answer().status, 403, "{username} {path}");
            }
        }
        assert_eq!(harness.events("vendor_link.changed").len(), 0);
    }
}

on_both! {
    async fn a_link_has_so_many_checks_in_a_minute(db) {
        let harness = started(db);
        let link = make(&mut at_console(&harness, "clients").await, &harness, "7").await;
        let mut vendor = Agent::new(&harness);
        vendor.get(&link).await;
        let form = vendor.get(&harness.url("/vendor/check")).await;
        for n in 0..31 {
            let page = send(&mut vendor, &form, "/vendor/check", &[("pasted", "invalid_client")]).await;
            let expected = if n < 30 { 200 } else { 429 };
            assert_eq!(page.answer().status, expected, "{n}: {}", page.answer().text);
            assert!(page.answer().text.contains("invalid_client"), "what was pasted is kept");
            assert_eq!(page.answer().headers.contains_key("retry-after"), n == 30);
        }
        harness.clock.advance(60);
        let page = send(&mut vendor, &form, "/vendor/check", &[("pasted", "invalid_client")]).await;
        assert_eq!(page.answer().status, 200);
    }
}

on_both! {
    async fn the_link_and_a_secret_are_not_taken_for_each_other(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "clients").await;
        let rotate = "/admin/clients/lims-secret/secret";
        // What was made, where it is shown, and where it is not.
        for (path, given, shown, not_shown) in [
            (rotate, ("overlap_seconds", "0"), "", "/hand-off"),
            (MAKE, ("days", "7"), "/hand-off", ""),
        ] {
            let form = agent.get(&harness.url(path)).await;
            let cookies = agent.cookie_header();
            let request = agent.filled_in(&form, path, &[given]).header("Cookie", &cookies).build().unwrap();
            let made = harness.http.execute(request).await.unwrap();
            assert_eq!(made.status(), 303);
            let set = made.headers().get_all("set-cookie").iter().map(|set| set.to_str().unwrap());
            let once = set.filter(|set| set.contains("-once")).map(|set| set.split(';').next().unwrap()).next().unwrap();
            for (page, expected) in [(not_shown, false), (shown, true)] {
                let url = harness.url(&format!("/admin/clients/lims-secret{page}"));
                let request = harness.http.get(url).header("Cookie", format!("{cookies}; {once}"));
                let text = request.send().await.unwrap().text().await.unwrap();
                assert_eq!(text.contains("id=\"once-value\""), expected, "{path} {page}");
            }
        }
    }
}

on_both! {
    async fn what_is_pasted_is_judged_for_the_client_that_the_page_names(db) {
        let harness = started(db);
        harness.apply("[[client]]\nclient_id = \"other\"\nname = \"Other\"\ndataflow = \"lims-to-cms\"\n");
        let mut manager = at_console(&harness, "clients").await;
        let link = make(&mut manager, &harness, "7").await;
        let path = "/admin/clients/other/vendor-link";
        let form = manager.get(&harness.url(path)).await;
        let other = text_of(&send(&mut manager, &form, path, &[("days", "7")]).await, "once-value");
        let mut vendor = Agent::new(&harness);
        vendor.get(&link).await;
        let form = vendor.get(&harness.url("/vendor/check")).await;
        vendor.get(&other).await;
        let page = send(&mut vendor, &form, "/vendor/check", &[("pasted", "invalid_client")]).await;
        assert_eq!(page.answer().status, 422);
        assert!(page.answer().text.contains("about another system"), "{}", page.answer().text);
        vendor.get(&link).await;
        assert_eq!(send(&mut vendor, &form, "/vendor/check", &[("pasted", "invalid_client")]).await.answer().status, 200);
    }
}

on_both! {
    async fn what_our_network_answers_is_for_the_office_alone(db) {
        let harness = started(db);
        let client = "[[client]]\nclient_id = \"by-key\"\nname = \"By key\"\ndataflow = \"lims-to-cms\"\nauth_method = \"private_key_jwt\"\njwks_uri = \"https://localhost:1/keys\"\n";
        harness.apply(client);
        let assertion = ClientKey::new(Algorithm::ES384, "k1").sign(&claims("by-key", &harness.url("/oauth2/token"), harness.now()));
        let mut manager = at_console(&harness, "clients").await;
        let (check, path) = ("/admin/clients/by-key/check", "/admin/clients/by-key/vendor-link");
        let form = manager.get(&harness.url(check)).await;
        let office = send(&mut manager, &form, check, &[("pasted", &assertion)]).await;
        let form = manager.get(&harness.url(path)).await;
        let link = text_of(&send(&mut manager, &form, path, &[("days", "7")]).await, "once-value");
        let mut vendor = Agent::new(&harness);
        vendor.get(&link).await;
        let form = vendor.get(&harness.url("/vendor/check")).await;
        let told = send(&mut vendor, &form, "/vendor/check", &[("pasted", &assertion)]).await;
        let (mark, hidden) = ("keys cannot be had from https://localhost:1/keys: ", "the office that sent you the link can see why");
        let cause = |text: &str| text.split(mark).nth(1).unwrap_or_else(|| panic!("{text}")).split('<').next().unwrap().to_owned();
        assert!(cause(&told.answer().text).contains(hidden));
        let cause = cause(&office.answer().text);
        assert!(!cause.contains(hidden) && cause.len() > 10, "{cause}");
    }
}
