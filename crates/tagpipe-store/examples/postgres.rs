//! Starts an empty PostgreSQL that waits for the disk, as one in production does, says where it is, and stops it
//! when standard input ends. `bench/runners` runs it.

use std::io::{Read, stdin};

use tagpipe_store::DatabaseUrl;
use tagpipe_store::testing::TestPostgres;

fn main() -> std::io::Result<()> {
    let server = TestPostgres::start_durable();
    if let DatabaseUrl::Postgres(url) = server.url() {
        println!("{url}");
    }
    stdin().read_to_end(&mut Vec::new()).map(|_| ())
}
