//! Schema resolution as a table, and texts that must not hang or overflow.

use super::super::Avro;

fn parse(text: &str) -> Avro {
    Avro::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
}

/// `reader`, `writer`, and the words of the refusal; empty where it can be read.
fn check(reader: &str, writer: &str, refusal: &str) {
    let said = parse(reader).can_read(&parse(writer)).map_or_else(|error| error.to_string(), |()| String::new());
    assert_eq!(said, refusal, "reader {reader}, writer {writer}");
}

#[test]
fn primitives_are_promoted_and_not_demoted() {
    let order = ["\"int\"", "\"long\"", "\"float\"", "\"double\""];
    for (r, reader) in order.iter().enumerate() {
        for (w, writer) in order.iter().enumerate() {
            let readable = parse(reader).can_read(&parse(writer)).is_ok();
            assert_eq!(readable, w <= r, "{reader} of {writer}");
        }
    }
    check("\"string\"", "\"bytes\"", "");
    check("\"bytes\"", "\"string\"", "");
    check("\"string\"", "\"int\"", "the schema itself: string was int");
    check("\"null\"", "\"boolean\"", "the schema itself: null was boolean");
}

#[test]
fn fields_come_and_go_by_their_defaults() {
    let a = r#"{"name":"a","type":"int"}"#;
    let b = r#"{"name":"b","type":["null","string"],"default":null}"#;
    let b_wanted = r#"{"name":"b","type":"string"}"#;
    let both = format!("{a},{b}");
    check(&record(&both), &record(a), "");
    check(&record(a), &record(&both), "");
    let wanted = record(&format!("{a},{b_wanted}"));
    check(&wanted, &record(a), "b: the writer has no such field, and it has no default");
    check(&record(a), &wanted, "");
    check(&wanted, &record(&both), "b: string was null");
    check(&record(&both), &wanted, "");
    check(&record(r#"{"name":"a","type":"string"}"#), &record(a), "a: string was int");
    check(&record(r#"{"name":"z","aliases":["a"],"type":"long"}"#), &record(a), "");
    let other_name = record(a).replace("\"R\"", "\"Other\"");
    check(&record(a), &other_name, "");
}

#[test]
fn parts_are_compared_where_they_are() {
    let list = |of: &str| record(&format!(r#"{{"name":"l","type":{{"type":"array","items":{of}}}}}"#));
    check(&list("\"long\""), &list("\"int\""), "");
    check(&list("\"int\""), &list("\"long\""), "l.[]: int was long");
    check(r#"{"type":"map","values":"int"}"#, r#"{"type":"map","values":"string"}"#, "{}: int was string");
    check(r#"{"type":"array","items":"int"}"#, "\"int\"", "the schema itself: an array was int");
    let fixed = |name: &str, size| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    check(&fixed("F", 4), &fixed("F", 4), "");
    check(&fixed("F", 4), &fixed("F", 5), "the schema itself: fixed F of 4 bytes was F of 5");
    check(&fixed("F", 4), &fixed("G", 4), "the schema itself: fixed F of 4 bytes was G of 4");
    let one_of = |name: &str, symbols: &str| format!(r#"{{"type":"enum","name":"{name}","symbols":[{symbols}]}}"#);
    check(&one_of("E", "\"A\""), &one_of("E", "\"A\",\"B\""), "");
    check(&one_of("E", "\"A\""), &one_of("X", "\"A\""), "the schema itself: enum E was enum X");
}

#[test]
fn every_branch_of_the_writer_needs_one_of_the_reader() {
    check("[\"null\",\"int\"]", "\"int\"", "");
    check("[\"null\",\"long\"]", "\"int\"", "");
    check("[\"null\",\"int\"]", "[\"int\",\"null\"]", "");
    check("[\"null\",\"int\"]", "\"string\"", "the schema itself: no branch of the reader's union takes string");
    check("\"int\"", "[\"null\",\"int\"]", "the schema itself: int was null");
    check("\"int\"", "[\"int\"]", "");
    check(
        "[\"null\",\"int\"]",
        "[\"null\",\"int\",\"string\"]",
        "the schema itself: no branch of the reader's union takes string",
    );
}

#[test]
fn types_that_contain_themselves_end() {
    let tree = |of: &str| {
        let fields = r#"{"name":"v","type":OF},{"name":"kids","type":{"type":"array","items":"R"}},
            {"name":"next","type":["null","n.R"],"default":null}"#;
        record(&fields.replace("OF", of))
    };
    check(&tree("\"long\""), &tree("\"int\""), "");
    check(&tree("\"int\""), &tree("\"long\""), "v: int was long");
    let branches = format!("[\"null\",{}]", tree("\"int\""));
    check(&branches, &tree("\"int\""), "");
}

#[test]
fn a_pair_that_counted_on_a_failure_is_compared_again() {
    // A and B contain each other. While A is compared with its like, B counts as readable with it; when A fails by its
    // last field, so must the union that falls back on B.
    let pair = |last: &str| {
        format!(
            r#"["null",{{"type":"record","name":"A","fields":[
                {{"name":"b","type":["null",{{"type":"record","name":"B","fields":[{{"name":"a","type":["null","A"]}}]}}]}},
                {{"name":"x","type":"{last}"}}]}}]"#
        )
    };
    check(&pair("int"), &pair("int"), "");
    assert!(parse(&pair("int")).can_read(&parse(&pair("string"))).is_err());
}

#[test]
fn what_is_no_schema_is_said() {
    let table = [
        ("", "not JSON"),
        ("7", "`7` is no type"),
        ("\"what\"", "type `what` is not defined"),
        ("{}", "an object without `type`"),
        (r#"{"type":"record","name":"R"}"#, "record `R` without `fields`"),
        (r#"{"type":"record","fields":[]}"#, "without name"),
        (r#"{"type":"record","name":"R","fields":[{"type":"int"}]}"#, "a field without name"),
        (r#"{"type":"record","name":"R","fields":[{"name":"f"}]}"#, "field `R.f` has no type"),
        (r#"{"type":"array"}"#, "`array` without `items`"),
        (r#"{"type":"enum","name":"E"}"#, "`enum` without `symbols`"),
        (r#"{"type":"fixed","name":"F"}"#, "`fixed` without `size`"),
        (r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":1}]"#, "defined twice"),
    ];
    for (text, words) in table {
        let error = Avro::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(5000), "}".repeat(5000));
    assert!(Avro::parse(deep.as_bytes()).is_err(), "the JSON parser bounds the depth");
}

#[test]
fn names_are_found_in_their_namespaces() {
    let inside = r#"{"type":"record","name":"a.b.R","fields":[
        {"name":"f","type":{"type":"enum","name":"E","symbols":["X"]}},
        {"name":"g","type":"E"},{"name":"h","type":"a.b.E"},{"name":"i","type":{"type":"string","logicalType":"uuid"}}]}"#;
    check(inside, inside, "");
    let aliased = r#"{"type":"enum","name":"New","namespace":"n","aliases":["Old"],"symbols":["X"]}"#;
    check(aliased, r#"{"type":"enum","name":"n.Old","symbols":["X"]}"#, "");
}

#[test]
fn a_long_chain_of_types_neither_overflows_nor_takes_for_ever() {
    let mut fields = String::from(r#"{"name":"f0","type":{"type":"record","name":"T0","fields":[]}}"#);
    for i in 1..5000 {
        let before = i - 1;
        fields += &format!(
            r#",{{"name":"f{i}","type":{{"type":"record","name":"T{i}","fields":[{{"name":"p","type":"T{before}"}}]}}}}"#
        );
    }
    let chain = record(&fields);
    check(&chain, &chain, "");
    let wide = |n: usize| {
        let branches: Vec<_> = (0..n)
            .map(|i| format!(r#"{{"type":"record","name":"T{i}","fields":[{{"name":"f{i}","type":"int"}}]}}"#))
            .collect();
        format!("[{}]", branches.join(","))
    };
    check(&wide(1000), &wide(1000), "");
}
