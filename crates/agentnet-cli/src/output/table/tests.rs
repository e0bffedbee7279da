//! How tables look, and how they give way.

use unicode_width::UnicodeWidthStr;

use super::*;

#[test]
fn away_from_a_terminal_a_table_is_plain_aligned_text() {
    let mut rows = Rows::with_dots(Output::fixed(false, false), &["Name", "Status"]);
    rows.push_with_dot(true, ["Echo".to_owned(), "online".to_owned()]);
    rows.push_with_dot(false, ["Longer name".to_owned(), "offline".to_owned()]);
    assert_eq!(
        rows.finish(),
        "Name         Status\nEcho         online\nLonger name  offline"
    );
}

#[test]
fn on_a_terminal_rows_have_dots_and_the_header_a_line() {
    let mut rows = Rows::with_dots(Output::fixed(true, false), &["Name"]);
    rows.push_with_dot(true, ["Echo".to_owned()]);
    rows.push_with_dot(false, ["Gone".to_owned()]);
    let text = rows.finish();
    assert!(text.contains('●') && text.contains('○') && text.contains('─'), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn what_matters_least_gives_way_first() {
    let on = |terminal: bool, width: usize| {
        let mut rows = Rows::new(
            Output::fixed(terminal, false),
            &["Thread", "Status", "Participants", "Message"],
        );
        rows = rows.yielding(&["Participants", "Status", "Message"]);
        rows.push([
            "thread_sdk_1".to_owned(),
            "ok".to_owned(),
            "acct_01kj000, acct_01kj001".to_owned(),
            "日本 and many more words than that".to_owned(),
        ]);
        rows.fit(width);
        rows.text()
    };
    let table = |width: usize| on(false, width);
    let row = |width: usize| table(width).lines().nth(1).unwrap().to_owned();
    let whole = "thread_sdk_1  ok      acct_01kj000, acct_01kj001  日本 and many more words than that";
    assert_eq!(row(200), whole);
    assert_eq!(row(whole.width()), whole);
    assert_eq!(
        row(whole.width() - 1),
        "thread_sdk_1  ok      acct_01kj000, acct_01kj0…  日本 and many more words than that"
    );
    assert_eq!(row(60), "thread_sdk_1  ok      acct_01kj00…  日本 and many more word…");
    // Too little room for all columns: one is left out, and the others have what it gave.
    assert_eq!(row(42), "thread_sdk_1  ok      日本 and many more …");
    assert_eq!(row(30), "thread_sdk_1  日本 and many m…", "the next");
    // Nothing left to give: the terminal may wrap.
    assert_eq!(row(5), "thread_sdk_1");
    for width in 30..90 {
        // With the line below the header, which is as wide as the table.
        for text in [table(width), on(true, width)] {
            let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap();
            assert!(widest <= width, "{width}: {text}");
        }
    }
}

#[test]
fn texts_are_cut_by_what_they_take_on_the_screen() {
    for (text, width, shown) in [
        ("hello", 5, "hello"),
        ("hello", 4, "hel…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("", 0, ""),
    ] {
        assert_eq!(cut(text, width), shown);
    }
}

#[test]
fn rows_are_csv_too() {
    let mut rows = Rows::with_dots(Output::fixed(false, false), &["Name", "Message"]);
    rows.push_with_dot(true, ["Echo".to_owned(), "a \"b\", c\nd".to_owned()]);
    assert_eq!(rows.csv(), "Name,Message\nEcho,\"a \"\"b\"\", c\nd\"");
    assert_eq!(Rows::new(Output::fixed(false, false), &["Name"]).csv(), "Name");
}

#[test]
fn facts_stand_in_two_columns() {
    let rows = vec![("Thread", "t1".into()), ("Messages", "3".into())];
    assert_eq!(facts(Output::fixed(false, false), rows), "Thread    t1\nMessages  3");
}

#[test]
fn no_cell_of_csv_is_a_formula() {
    for (cell, shown) in [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("-1+1", "'-1+1"),
        ("-inf", "'-inf"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("－1", "'－1"),
        ("\t=1+1", "'\t=1+1"),
        (" =1+1", "' =1+1"),
        ("\u{a0}=1+1", "'\u{a0}=1+1"),
        ("\u{3000}\r\n@x", "'\u{3000}\r\n@x"),
        ("\u{feff}\u{200b}\u{0}+1", "'\u{feff}\u{200b}\u{0}+1"),
        (" -5", "' -5"),
        (" x", " x"),
        ("-5", "-5"),
        ("-1.5e3", "-1.5e3"),
        ("a=b", "a=b"),
        ("—", "—"),
        ("", ""),
    ] {
        assert_eq!(value(cell), shown, "{cell:?}");
    }
}

#[test]
fn cells_of_csv_stay_whole() {
    let mut rows = Rows::new(Output::fixed(false, false), &["A", "B"]);
    for (first, second) in [
        ("x", ""),
        ("a,b", "a;b"),
        ("say \"hi\"", "two\nlines"),
        (" x", "a;=1+1"),
        ("=\"1\"", "it's"),
    ] {
        rows.push([first.to_owned(), second.to_owned()]);
    }
    let expected =
        "A,B\nx,\n\"a,b\",\"a;b\"\n\"say \"\"hi\"\"\",\"two\nlines\"\n\" x\",\"a;=1+1\"\n\"'=\"\"1\"\"\",it's";
    assert_eq!(rows.csv(), expected);
}
