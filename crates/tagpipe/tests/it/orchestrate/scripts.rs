//! Runners that are started by somebody's script.

use super::*;

fn script(rig: &Rig, text: &str) -> String {
    let program = env!("CARGO_BIN_EXE_tagpipe");
    rig.write("script", &text.replace("tagpipe", program));
    let path = rig.folder().join("script");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its rights");
    path.display().to_string()
}

/// A script need not end with `exec`, or wait for what it starts, to be looked after.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_starts_is_looked_after() {
    for text in [
        "#!/bin/sh\ntagpipe \"$@\"\necho done >&2\n",
        "#!/bin/sh\ntagpipe \"$@\" &\nexit 0\n",
    ] {
        let rig = Rig::on(Engine::Postgres, unhurried(400, 30)).await;
        let path = script(&rig, text);
        let arguments = with(&["--num-runners", "2", "--runner-path", &path]);
        let running = rig.start_orchestrate(&arguments);
        rig.wait_for_documents(80).await;
        stop_all(&rig, running, "INT", 130).await;
        let resumed = with(&["--num-runners", "2", "--runner-path", &path, "--resume"]);
        let summary = rig.orchestrate(&resumed).await.summary(0);
        for (name, row) in by_runner(&summary) {
            assert_eq!(number(&row, "processes"), 2, "{name}: {row:#}");
        }
        rig.assert_equals_truth().await;
        assert_each_page_once(&rig);
    }
}

/// An exit code of success from somebody who has not begun is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_does_nothing_is_no_runner() {
    let rig = Rig::on(Engine::Sqlite, small()).await;
    let path = script(&rig, "#!/bin/sh\nexit 0\n");
    let ended = rig
        .orchestrate(&with(&["--num-runners", "1", "--runner-path", &path]))
        .await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let word = "runner_1 is not started again: 5 deaths in a row, the last one: it ended with exit code 0 although the \
                run goes on";
    assert!(ended.stderr.contains(word), "{}", ended.stderr);
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}
