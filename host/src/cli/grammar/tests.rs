//! The grammar against lines that were given to the original, with its answers.

use super::*;

static TOOL: Command<u8> = Command {
    names: &["tool"],
    about: "A tool.",
    options: &[value(&["--admin-url"], "url", Takes::Text, "Where.")],
    arguments: &[],
    does: Does::Group(&[Command::group(
        &["topics", "topic"],
        "Topics.",
        &[
            Command {
                names: &["offload"],
                about: "Offloads.",
                options: &[
                    value(&["-s", "--size-threshold"], "sizeThreshold", Takes::Size, "How much stays.").required(),
                    value(&["-oats", "--older"], "age", Takes::Seconds, "How long."),
                    flag(&["-w", "--wait"], "Waits."),
                    flag(&["-f", "--force"], "Forces."),
                    value(&["-c", "--clusters"], "clusters", Takes::Comma, "Where."),
                    value(&["-p", "--property"], "k=v", Takes::Pairs, "What."),
                ],
                arguments: &[argument("topicName", "The topic.")],
                does: Does::Run(1),
                is_hidden: false,
            },
            Command {
                names: &["list"],
                about: "Lists.",
                options: &[],
                arguments: &[],
                does: Does::Run(2),
                is_hidden: false,
            },
        ],
    )]),
    is_hidden: false,
};

fn read(line: &str) -> Result<Found<u8>, Stopped> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse(&TOOL, &words)
}

fn matches(line: &str) -> Matches {
    read(line).map(|found| found.matches).map_err(|stopped| format!("{line}: {stopped:?}")).unwrap()
}

fn refusal(line: &str) -> String {
    match read(line).map(|_| ()) {
        Err(Stopped::Wrong { message, .. }) => message,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn options_stand_anywhere_in_any_form() {
    for line in [
        "topics offload -s 10M t",
        "topics offload t -s 10M",
        "topic offload -s=10M t",
        "topics offload -s10M t",
        "topics offload --size-threshold=10M -- t",
        "--admin-url x topics offload t --size-threshold 10M",
    ] {
        let matches = matches(line);
        assert_eq!((matches.size("-s"), matches.arguments()), (Some(10 << 20), &["t".to_owned()][..]), "{line}");
    }
    let line = matches("topics offload -wf -oats 1h t -s -1 -c a,b -c c -p k=v -p k2=v=2 --admin-url u");
    assert!(line.has("--wait") && line.has("-f"));
    assert_eq!((line.seconds("--older"), line.size("-s"), line.text("--admin-url")), (Some(3600), Some(-1), Some("u")));
    assert_eq!(line.all("-c"), ["a", "b", "c"]);
    assert_eq!(line.pairs("-p"), [("k", "v"), ("k2", "v=2")]);
    assert_eq!(line.path, ["tool", "topics", "offload"]);
    assert!(!matches("topics offload -s 0 --wait=false t").has("-w"));
}

#[test]
fn mistakes_are_told_in_the_originals_words_and_order() {
    for (line, message) in [
        ("topics offload t", "Missing required option: '--size-threshold=<sizeThreshold>'"),
        ("topics offload -s", "Missing required parameter for option '--size-threshold' (<sizeThreshold>)"),
        ("topics offload -s -w t", "Expected parameter for option '--size-threshold' but found '-w'"),
        ("topics offload -s 0", "Missing required parameter: '<topicName>'"),
        (
            "topics offload",
            "Missing required options and parameters: '--size-threshold=<sizeThreshold>', '<topicName>'",
        ),
        ("topics offload -s 0 a b c", "Unmatched arguments from index 5: 'b', 'c'"),
        ("topics list extra", "Unmatched argument at index 2: 'extra'"),
        (
            "topics offload -s 10X t",
            "Invalid value for option '--size-threshold': Invalid size '10X'. Valid formats are: (4096, 100K, 10M, 16G, 2T)",
        ),
        ("topics offload -s 0 -oats 2x t", "Invalid value for option '--older': Invalid time unit 'x'"),
        ("topics offload -s 0 -zz 1 t", "Unknown options: '-zz', 't'"),
        ("topics offload -s 0 -s 1 t", "option '--size-threshold' (<sizeThreshold>) should be specified only once"),
        ("topics", "Missing required subcommand"),
        ("", "Missing required subcommand"),
        ("topics zebra", "Unmatched argument at index 1: 'zebra'"),
    ] {
        assert_eq!(refusal(line), message, "{line}");
    }
}

#[test]
fn near_matches_are_offered() {
    assert_eq!(
        read("topics offlod -s 0 t").map(|_| ()),
        Err(Stopped::Wrong {
            message: "Unmatched arguments from index 1: 'offlod', '-s', '0', 't'\nDid you mean: topics offload?"
                .to_owned(),
            usage: String::new(),
        })
    );
    assert_eq!(
        refusal("topics offload --sise-threshold 0 t"),
        "Missing required option: '--size-threshold=<sizeThreshold>'\n\
         '--sise-threshold' is no option here. Did you mean: --size-threshold?"
    );
}

#[test]
fn usage_is_laid_out_as_the_originals() {
    let Err(Stopped::Help(text)) = read("topics offload -h").map(|_| ()) else { panic!("no help") };
    let expected = "\
Usage: tool topics offload [-fhvw] [-oats=<age>] -s=<sizeThreshold>
                           [-c=<clusters>[,<clusters>...]]... [-p=<k=v>]...
                           <topicName>
Offloads.
      <topicName>            The topic.
  -c, --clusters=<clusters>  Where.
  -f, --force                Forces.
  -h, --help                 Show this help and end.
      -oats, --older=<age>   How long.
  -p, --property=<k=v>       What.
  -s, --size-threshold=<sizeThreshold>
                             How much stays.
  -v, --version              Show the version and end.
  -w, --wait                 Waits.
";
    assert_eq!(text, expected);
    let Err(Stopped::Help(text)) = read("topics --help").map(|_| ()) else { panic!("no help") };
    assert!(text.ends_with("Commands:\n  offload  Offloads.\n  list     Lists.\n"), "{text}");
}

#[test]
fn completion_offers_what_may_come_next() {
    let next = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&TOOL, &words)
    };
    assert_eq!(next(""), ["topics"]);
    assert_eq!(next("topics o"), ["offload"]);
    assert_eq!(next("topics offload --si"), ["--size-threshold"]);
    assert_eq!(next("topics offload -s "), Vec::<&str>::new());
    assert_eq!(next("--admin-url x topics l"), ["list"]);
    for shell in SHELLS {
        assert!(script(shell, "pulsar-admin").unwrap().contains("__complete"), "{shell}");
    }
    assert_eq!(script("tcsh", "x"), None);
}
