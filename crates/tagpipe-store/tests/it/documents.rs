//! Documents are kept with their page's commit, and a replay of them never undoes a newer reading.

use std::time::Instant;

use sea_orm::EntityTrait;
use tagpipe_core::model::{CategoryRow, Identity, PageKind, PageRows};
use tagpipe_core::outcome::Cause;
use tagpipe_store::contract::{Ending, Fate, Finish, KeepDocuments, Lease, PackedDocument, ReadDocuments};
use tagpipe_store::entities::documents;
use tagpipe_store::{KeptPage, Replayed, Replayer, Reread};

use crate::harness::*;

on_both_engines! {
    documents_come_back_as_they_were_kept,
    a_fenced_finish_keeps_no_document,
    a_failed_reading_keeps_the_older_document_and_trusts_it_no_more,
    a_replay_leaves_a_page_alone_that_was_read_anew,
    a_rehearsal_is_taken_back,
}

fn categories(names: &[&str]) -> PageRows {
    let rows = names.iter().map(|name| CategoryRow { name: (*name).into() });
    PageRows::Categories(rows.collect())
}

fn with_documents(mut finish: Finish, keep: KeepDocuments, bodies: &[&[u8]]) -> Finish {
    let rows = match &finish.ending {
        Ending::Completed { rows, .. } => rows.len(),
        _ => 0,
    };
    let documents = bodies.iter().enumerate().map(|(index, body)| PackedDocument {
        url: format!("/page?page={}", index + 1),
        received: Instant::now(),
        hash: format!("hash {index}"),
        bytes: 1000,
        rows: if index == 0 { rows } else { 0 },
        body: body.to_vec(),
    });
    finish.documents = ReadDocuments {
        keep,
        profile: "tag 1".into(),
        documents: documents.collect(),
    };
    finish
}

async fn read(crawl: &Crawl, names: &[&str], bodies: &[&[u8]]) {
    crawl.add(&[categories_page()]).await;
    let lease = crawl.claim_one().await;
    let finish = with_documents(complete(&lease, categories(names)), KeepDocuments::Last, bodies);
    crawl.accept(&[finish]).await;
}

async fn kept(crawl: &Crawl) -> Vec<KeptPage> {
    let store = &crawl.store;
    store.kept_pages(PageKind::Categories, None, 10).await.unwrap()
}

/// What reading `page` again with these rows comes to.
fn reread(page: KeptPage, names: &[&str]) -> Reread {
    let lease = Lease {
        identity: Identity::default(),
        ..lease_of_categories()
    };
    let mut finish = complete(&lease, categories(names));
    if let Ending::Completed { children, .. } = &mut finish.ending {
        for child in children {
            child.fate = tagpipe_store::contract::ChildFate::Ignore;
        }
    }
    Reread {
        page,
        ending: finish.ending,
        cause: Cause::Complete,
        shown: vec![names.len()],
        audit: Vec::new(),
    }
}

fn lease_of_categories() -> Lease {
    Lease {
        page_id: 0,
        token: String::new(),
        kind: PageKind::Categories,
        key: Identity::default().key(PageKind::Categories),
        identity: Identity::default(),
        url: "/".into(),
        subject_id: None,
        expected: None,
        attempt: 1,
        history: Default::default(),
        verifications: 0,
        audited: false,
    }
}

async fn replay(crawl: &Crawl, batch: &[Reread], is_rehearsal: bool) -> Replayed {
    let replayer = Replayer {
        run: (!is_rehearsal).then_some(crawl.run),
        runner_id: "runner_1",
        instance: &crawl.me.instance,
        profile: "tag 1",
    };
    crawl.store.replay(replayer, batch).await.unwrap()
}

async fn documents_come_back_as_they_were_kept(crawl: Crawl) {
    let bodies: [&[u8]; 3] = [b"\0\xff first", b"", b"third"];
    read(&crawl, &["Hockey", "Soccer"], &bodies).await;
    let pages = kept(&crawl).await;
    let kept = &pages[0].documents;
    assert_eq!(kept.len(), 3);
    for (index, (document, body)) in kept.iter().zip(bodies).enumerate() {
        assert_eq!(document.body, body);
        assert_eq!(document.part as usize, index + 1);
        assert_eq!(document.hash, format!("hash {index}"));
        let again = crawl.store.document(document.id).await.unwrap().unwrap();
        assert_eq!(again.body, body);
    }
    let stored = documents::Entity::find()
        .all(crawl.store.connection())
        .await
        .unwrap();
    assert_eq!(stored.len(), 3);
    let first = &stored[0];
    assert_eq!(
        (first.level, first.subject_id, first.part, first.bytes),
        (0, 0, 1, 1000)
    );
    assert_eq!(first.row_keys, Some(serde_json::json!(["hockey", "soccer"])));
    assert_eq!((first.superseded_at, first.subject_changes), (None, None));
    // The rows are on the first document; the others show none.
    let id = crawl
        .number("SELECT id FROM categories WHERE name = 'Soccer'")
        .await;
    let lineage = crawl.store.lineage("categories", id).await.unwrap().unwrap();
    assert_eq!(lineage.document_id, kept[0].id);
    assert_eq!((lineage.run_id, lineage.profile.as_str()), (crawl.run, "tag 1"));
}

async fn a_fenced_finish_keeps_no_document(crawl: Crawl) {
    crawl.add(&[categories_page()]).await;
    let mut lease = crawl.claim_one().await;
    lease.token = "another".into();
    let finish = with_documents(
        complete(&lease, categories(&["Hockey"])),
        KeepDocuments::Last,
        &[b"x"],
    );
    assert_eq!(crawl.finish(&[finish]).await.fates, [Fate::Fenced]);
    assert!(kept(&crawl).await.is_empty());
}

async fn a_failed_reading_keeps_the_older_document_and_trusts_it_no_more(mut crawl: Crawl) {
    crawl.read_down_to(cards(1)).await;
    let lease = crawl.claim_one().await;
    let rows = PageRows::GradeRows(vec![grade_row("A1")]);
    let finish = with_documents(complete(&lease, rows), KeepDocuments::Last, &[b"x"]);
    crawl.accept(&[finish]).await;
    let trusted = "documents WHERE subject_changes IS NOT NULL";
    assert_eq!(crawl.count(trusted).await, 1);
    crawl.next_run().await;
    let mut page = page(lease.kind, lease.identity.clone());
    page.subject_id = lease.subject_id;
    crawl.add(&[page]).await;
    let lease = crawl.claim_one().await;
    crawl.accept(&[fail(&lease)]).await;
    assert_eq!(crawl.count("documents").await, 1);
    assert_eq!(crawl.count(trusted).await, 0);
}

async fn a_replay_leaves_a_page_alone_that_was_read_anew(mut crawl: Crawl) {
    read(&crawl, &["Hockey"], &[b"old"]).await;
    let old = kept(&crawl).await.remove(0);
    crawl.next_run().await;
    read(&crawl, &["Hockey", "Soccer"], &[b"new"]).await;
    crawl.next_run().await;
    let before = crawl.everything().await;
    let replayed = replay(&crawl, &[reread(old, &["Hokkey"])], false).await;
    assert_eq!((replayed.superseded, replayed.completed), (1, 0));
    assert_eq!(crawl.everything().await, before);
}

async fn a_rehearsal_is_taken_back(mut crawl: Crawl) {
    read(&crawl, &["Hockey"], &[b"page"]).await;
    crawl.next_run().await;
    let before = crawl.everything().await;
    let page = kept(&crawl).await.remove(0);
    let batch = [reread(page, &["Hockey", "Soccer"])];
    let rehearsed = replay(&crawl, &batch, true).await;
    assert_eq!((rehearsed.rows.new, rehearsed.rows.same), (1, 1));
    assert_eq!(crawl.everything().await, before);
    assert_eq!(replay(&crawl, &batch, false).await.rows, rehearsed.rows);
    assert_eq!(crawl.count("categories").await, 2);
}
