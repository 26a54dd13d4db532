//! Many people from a file: what is wrong is told line by line, all are added or nobody, and links are shown once.

use std::fmt::Write;

use crate::console::people::{id_of, part, person, send};
use crate::console::{STAFF, at_console};
use crate::harness::agent::{Agent, Page};
use crate::harness::smtp::MailServer;
use crate::harness::{Db, Harness};
use crate::on_both;
use crate::support::eventually;

const PATH: &str = "/admin/users/import";

/// Brings a file, and waits until it is checked.
pub async fn bring(agent: &mut Agent<'_>, harness: &Harness, file: &[u8]) -> Page {
    let page = agent.get(&harness.url(PATH)).await;
    let page = agent.upload(&page, PATH, file).await;
    settled(agent, harness, page).await
}

/// Refreshes until nothing goes on any more.
pub async fn settled(agent: &mut Agent<'_>, harness: &Harness, page: Page) -> Page {
    if is_settled(&page) {
        return page;
    }
    let url = harness.url(page.at());
    eventually("end", async || agent.get(&url).await, is_settled).await
}

fn is_settled(page: &Page) -> bool {
    let text = &page.answer().text;
    let goes_on = text.contains("id=\"progress\"");
    assert!(
        !goes_on || text.contains("id=\"refresh\""),
        "it works without script"
    );
    !goes_on
}

/// Sends the form of a page of an import, and waits until what it began is done.
pub async fn go_on(agent: &mut Agent<'_>, harness: &Harness, page: &Page, fields: &[(&str, &str)]) -> Page {
    let page = send(agent, page, fields).await;
    settled(agent, harness, page).await
}

on_both! {
    async fn people_are_checked_then_added_with_links_that_are_shown_once(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        let template = agent.get(&harness.url("/admin/users/import/template")).await;
        assert!(template.answer().header("content-disposition").contains("attachment"));
        let mut file = template.answer().text.clone();
        file.push_str("zoë,\"Zoë Quote, \"\"MD\"\"\",,,fulton-county-me,,,registrar;data-clerk,,,R,High,HDECD,2027-01-31,\r\n");
        let marked = [b"\xef\xbb\xbf".as_slice(), file.as_bytes()].concat();
        let page = bring(&mut agent, &harness, &marked).await;
        assert!(part(&page, "id=\"ready\"", "</p>").contains("2 people can be added"), "{}", page.answer().text);
        assert!(person(&harness, "jroe").is_none(), "looking changes nothing");
        let page = go_on(&mut agent, &harness, &page, &[]).await;
        assert!(part(&page, "id=\"done-count\"", "</p>").contains("2 people were added"), "{}", page.answer().text);
        let zoe = person(&harness, "zoë").unwrap();
        assert_eq!(zoe.name, "Zoë Quote, \"MD\"");
        assert_eq!(zoe.settings.roles, ["registrar", "data-clerk"]);
        let links = send(&mut agent, &page, &[]).await;
        let csv = &links.answer().text;
        assert_eq!((csv.lines().count(), csv.matches("/invitation/").count()), (3, 2), "{csv}");
        let link = csv.lines().find(|line| line.starts_with("jroe")).unwrap().split(',').find(|cell| cell.contains("/invitation/")).unwrap();
        assert_eq!(Agent::new(&harness).get(link).await.answer().status, 200);
        // Once.
        let again = send(&mut agent, &page, &[]).await;
        assert!(again.answer().text.contains("There are no links to download"), "{}", again.answer().text);
        let taken = harness.events("exported").pop().unwrap();
        assert_eq!((&taken["detail"]["what"], &taken["detail"]["people"]), (&"invitation links".into(), &"2".into()));
        let added = harness.events("person.changed");
        assert_eq!(added.iter().filter(|event| event["actor"] == id_of(&harness, "users").as_str()).count(), 2);
        assert!(!added.iter().any(|event| event.to_string().contains("/invitation/")));
        // The same file again: they exist.
        let page = bring(&mut agent, &harness, &marked).await;
        assert_eq!(page.answer().text.matches("somebody has this username already").count(), 2);
    }
}

on_both! {
    async fn what_is_wrong_is_told_and_nobody_is_added(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        let mut large = "username,name\n".to_owned();
        for place in 0..1_001 {
            writeln!(large, "p{place},Person {place}").unwrap();
        }
        // File, what is said.
        let rows: &[(&[u8], &[&str])] = &[
            (b"username,name\n", &["the file has no people"]),
            (b"username\nanna\n", &["name", "this column is missing in the first line"]),
            (b"username,name,shoe size\nanna,Anna,9\n", &["shoe size", "this is not a column that is known"]),
            (b"username,name,Name\nanna,Anna,Anna\n", &["this column stands there twice"]),
            (b"PK\x03\x04rest", &["this is a workbook (.xlsx), not a CSV file"]),
            (b"username,name\nanna,Anna\nj\xfcrgen,J\xfcrgen\n", &[">Line </span>3", "not UTF-8"]),
            (b"username,name\nanna,Roe, Anna\n", &["this line has 3 cells"]),
            (b"username,name\nanna,Anna\nANNA,Other Anna\n", &[">Line </span>3", "line 2 has the same username"]),
            (b"username,name\nclerk,Cory Again\n", &["somebody has this username already"]),
            (b"username,name\nanna,\"=cmd|' /C calc'!A0\"\n", &["it must not begin with = + - @"]),
            (b"username,name,agency\nanna,Anna,@SUM(1)\n", &["agency", "it must not begin with = + - @"]),
            (b"username,name\n+anna,-Anna\n", &["it must not begin with = + - @"]),
            ("username,name\nanna,\u{ff1d}1+1\n".as_bytes(), &["it must not begin with = + - @"]),
            (b"username,name,roles\nanna,Anna,emperor\n", &["roles", "emperor", "the policy has no role emperor"]),
            (b"username,name,roles\nanna,Anna,administrator\n", &["roles", "only an administrator may"]),
            (b"username,name,email\nanna,Anna,nowhere\n", &["email", "must be an e-mail address"]),
            (b"username,name,email_verified\nanna,Anna,perhaps\n", &["it must be yes or no"]),
            (b"username,name,npi\nanna,Anna,1234567890\n", &["npi", "check digit"]),
            (b"username,name,clearance\nanna,Anna,top\n", &["clearance", "is not one of"]),
            (b"username,name,license_expires\nanna,Anna,31/12/2027\n", &["license_expires", "YYYY-MM-DD"]),
            (b"username,name,time_zone\nanna,Anna,Mars\n", &["time_zone", "must be a time zone"]),
            (b"username,name,agency_id\nanna,Anna,urn:oid:1\n", &["agency", "it must be there beside agency_id"]),
            (b"username,name\r\nanna,Anna\r\n\r\nberta,\r\n", &[">Line </span>4", "name"]),
            (b"username,name,email\nanna,Anna,<script>alert(1)</script>\n", &["&#60;script&#62;alert(1)"]),
            (large.as_bytes(), &["more than 1000 people", "split the file"]),
        ];
        for (file, said) in rows {
            let page = bring(&mut agent, &harness, file).await;
            let shown = String::from_utf8_lossy(&file[..file.len().min(60)]).into_owned();
            let findings = part(&page, "id=\"findings\"", "</table>");
            for text in *said {
                assert!(findings.contains(text), "{shown}: {text} in {findings}");
            }
            assert!(!page.answer().text.contains("<script>alert"), "{shown}");
            assert!(!page.answer().text.contains("id=\"import\""), "{shown}");
        }
        assert!(person(&harness, "anna").is_none());
        let mut many = "username,name,npi\n".to_owned();
        for place in 0..300 {
            writeln!(many, "p{place},Person {place},1").unwrap();
        }
        let page = bring(&mut agent, &harness, many.as_bytes()).await;
        assert!(page.answer().text.contains("There are 300 findings"));
        assert_eq!(page.answer().text.matches("must have ten digits").count(), 200);
    }
}

on_both! {
    async fn files_that_cannot_be_taken_are_refused_in_words(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        // File, what is said.
        let large = vec![b'x'; 4 * 1024 * 1024 + 1];
        for (file, said) in [(large.as_slice(), "larger than 4 MB: split the file"), (b"".as_slice(), "Choose a file")] {
            let page = agent.get(&harness.url(PATH)).await;
            let page = agent.upload(&page, PATH, file).await;
            assert_eq!(page.answer().status, 422);
            assert!(page.answer().text.contains(said), "{}", page.answer().text);
        }
        // A forged form is none.
        let page = agent.get(&harness.url(PATH)).await;
        let mut other = at_console(&harness, "admin").await;
        let forged = other.upload(&page, PATH, b"username,name\nanna,Anna\n").await;
        assert_eq!(forged.answer().status, 400);
    }
}

on_both! {
    async fn an_import_belongs_to_the_session_that_brought_it(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        let page = bring(&mut agent, &harness, b"username,name\nanna,Anna\n").await;
        let path = page.at().to_owned();
        let mut admin = at_console(&harness, "admin").await;
        for place in [path.clone(), format!("{path}/links")] {
            let seen = admin.get(&harness.url(&place)).await;
            assert_eq!(seen.answer().status, 404, "{place}");
        }
        // Meanwhile somebody takes the name: nobody is added, and that is told.
        harness.apply("[[user]]\nusername = \"anna\"\nname = \"Another Anna\"\n");
        let page = go_on(&mut agent, &harness, &page, &[]).await;
        assert!(part(&page, "id=\"findings\"", "</table>").contains("somebody has this username already"));
        assert_eq!(person(&harness, "anna").unwrap().name, "Another Anna");
    }
}

on_both! {
    async fn a_file_of_thousands_goes_in_at_once(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        let mut file = "username,name,roles,agency\n".to_owned();
        for place in 0..900 {
            writeln!(file, "p{place:04},Person {place},data-clerk,Fulton County").unwrap();
        }
        let page = bring(&mut agent, &harness, file.as_bytes()).await;
        let page = go_on(&mut agent, &harness, &page, &[]).await;
        assert!(page.answer().text.contains("900 people were added"), "{}", page.answer().text);
        assert!(person(&harness, "p0899").is_some());
    }
}

#[tokio::test]
async fn invitations_go_by_mail_where_there_is_an_address() {
    let server = MailServer::start("tls");
    let harness = Harness::start_with(Db::Sqlite, |config| server.configure(config));
    harness.apply(STAFF);
    let mut agent = at_console(&harness, "users").await;
    let file = b"username,name,email\nanna,Anna,anna@fulton.example\nberta,Berta,\n";
    let page = bring(&mut agent, &harness, file).await;
    assert!(
        page.answer().text.contains("1 of 2 have an address"),
        "{}",
        page.answer().text
    );
    let page = go_on(&mut agent, &harness, &page, &[]).await;
    assert!(
        page.answer().text.contains("Invitations on their way by mail: 1"),
        "{}",
        page.answer().text
    );
    let mail = server.message(1).await;
    assert_eq!(mail["recipients"][0], "anna@fulton.example");
    assert!(mail["text"].as_str().unwrap().contains("/invitation/"));
    let links = send(&mut agent, &page, &[]).await;
    assert_eq!(links.answer().text.matches("/invitation/").count(), 1);
    // One person is invited by mail as well.
    let page = agent.get(&harness.url("/admin/users/new")).await;
    let page = send(
        &mut agent,
        &page,
        &[
            ("name", "Clara"),
            ("username", "clara"),
            ("email", "clara@fulton.example"),
        ],
    )
    .await;
    assert!(
        page.answer().text.contains("on its way by mail"),
        "{}",
        page.answer().text
    );
    assert!(!page.answer().text.contains("/invitation/"));
    assert_eq!(server.message(2).await["recipients"][0], "clara@fulton.example");
}
