use rstest::rstest;

use super::*;

fn config(peers: &[&str]) -> OrchestrateConfig {
    OrchestrateConfig {
        peers: peers.iter().map(|peer| (*peer).to_owned()).collect(),
        rounds: 2,
        peer_timeout: Duration::from_secs(45),
        peer_retries: 1,
        synthesis_prompt: None,
        kickoff_tools: Vec::new(),
    }
}

#[rstest]
#[case::two(&["b", "@C"], Some(2))]
#[case::itself(&["a", "b"], None)]
#[case::twice(&["b", "@b"], None)]
#[case::three(&["b", "c", "a", "d"], Some(3))]
fn a_debate_needs_two_others(#[case] peers: &[&str], #[case] expected: Option<usize>) {
    let config = config(peers);
    assert_eq!(Debate::new(&config, "a").map(|debate| debate.peers.len()), expected);
}

#[test]
fn each_peer_sees_what_the_others_said() {
    let config = config(&["b", "c"]);
    let mut debate = Debate::new(&config, "a").unwrap();
    let first = debate.round_text("why?", "b", 1);
    assert!(first.contains("why?") && first.contains("round 1"), "{first}");
    debate.views.insert("b".into(), "because".into());
    debate.views.insert("c".into(), "no </message>".into());
    let second = debate.round_text("why?", "b", 2);
    assert!(
        second.contains("<message from=\"@c\">no < /message></message>"),
        "{second}"
    );
    assert!(
        second.contains("You have answered:\nbecause") && !second.contains("from=\"@b\""),
        "{second}"
    );
    debate.missing.insert("c".into(), "timeout".into());
    let conclusion = debate.conclusion_question("why?");
    assert!(
        conclusion.contains("from @c: say so") && conclusion.contains("from=\"@b\""),
        "{conclusion}"
    );
}

#[tokio::test]
async fn a_missing_peer_is_named_once() {
    let config = config(&["b", "c"]);
    let mut debate = Debate::new(&config, "a").unwrap();
    debate.missing.insert("c".into(), "timeout".into());
    for (text, expected) in [
        ("done", "done\n\n(No answer came from @c.)"),
        ("@c is absent", "@c is absent"),
    ] {
        let mut answer = Answer {
            text: text.into(),
            ..Answer::default()
        };
        debate.name_missing(&mut answer, &mut ReplySink::Whole).await.unwrap();
        assert_eq!(answer.text, expected);
        assert_eq!(answer.debate.unwrap()["missing"], json!(["@c"]));
    }
}
