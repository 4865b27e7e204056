//! `tagpipe token`: who may use the API and the dashboard.

use serde_json::json;
use tagpipe_store::Scope;

use super::looking;
use crate::cli::{GlobalArguments, TokenCommand, TokenScope};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, harmless, print, print_json, width};

/// Does what is asked of the tokens.
pub(crate) async fn token(global: &GlobalArguments, command: &TokenCommand) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Add { name, scope } => add(global, name, *scope).await,
        TokenCommand::List => list(global).await,
        TokenCommand::Revoke { name } => revoke(global, name).await,
    }
}

async fn add(global: &GlobalArguments, name: &str, scope: TokenScope) -> Result<Exit, Failure> {
    let name = name.trim();
    if name.is_empty()
        || name.chars().count() > 100
        || name.chars().any(char::is_control)
        || name == "settings"
    {
        return Err(Failure::usage(
            "a token's name takes 1 to 100 characters, and is not `settings`",
        ));
    }
    let scope = match scope {
        TokenScope::Read => Scope::Read,
        TokenScope::Control => Scope::Control,
    };
    let secret = tagpipe_web::new_secret();
    let store = looking::open_or_make(global).await?;
    let added = store
        .add_token(name, scope, &tagpipe_web::token_hash(&secret))
        .await;
    store.close().await;
    if !added.map_err(|error| Failure::reading(&error))? {
        return Err(Failure::usage(format!(
            "there is a token `{name}`; revoke it first: `tagpipe token revoke {name}`"
        )));
    }
    if global.json {
        print_json(&json!({ "name": name, "scope": scope, "token": secret }))?;
    } else {
        print(&format!("{secret}\n"))?;
        if !global.quiet {
            anstream::eprintln!(
                "The token `{}` allows {}. It is shown this once; the database has its hash alone.",
                harmless(name),
                match scope {
                    Scope::Read => "to look",
                    Scope::Control => "everything",
                }
            );
        }
    }
    Ok(Exit::Done)
}

async fn list(global: &GlobalArguments) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let tokens = store.tokens().await;
    store.close().await;
    let tokens = tokens.map_err(|error| Failure::reading(&error))?;
    if global.json {
        print_json(&tokens)?;
        return Ok(Exit::Done);
    }
    if tokens.is_empty() {
        print("no tokens; `tagpipe token add NAME` makes one\n")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        ("token", Align::Left),
        ("scope", Align::Left),
        ("made", Align::Left),
        ("last used", Align::Left),
        ("revoked", Align::Left),
    ]);
    for token in &tokens {
        let or_dash = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
        table.row(&[
            harmless(&token.name),
            token.scope.as_str().to_owned(),
            token.created_at.clone(),
            or_dash(&token.last_used_at),
            or_dash(&token.revoked_at),
        ]);
    }
    print(&table.render(width()))?;
    Ok(Exit::Done)
}

async fn revoke(global: &GlobalArguments, name: &str) -> Result<Exit, Failure> {
    let store = looking::open_to_write(global).await?;
    let revoked = store.revoke_token(name).await;
    store.close().await;
    if !revoked.map_err(|error| Failure::reading(&error))? {
        return Err(Failure::usage(format!(
            "there is no token `{name}` that allows anything; `tagpipe token list` shows those there are"
        )));
    }
    if global.json {
        print_json(&json!({ "name": name, "revoked": true }))?;
    } else if !global.quiet {
        print(&format!("{}: revoked\n", harmless(name)))?;
    }
    Ok(Exit::Done)
}
