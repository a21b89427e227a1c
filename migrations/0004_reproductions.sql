-- Runs that were done again, and whether the numbers came out the same. A run that was done again
-- is compared once, and its comparison stays.
create table reproduction (
    reproduction_id integer primary key,
    run_id          integer not null references run (run_id),
    by_run_id       integer not null unique references run (run_id),
    format_version  integer not null,
    body            text    not null check (json_valid(body))
) strict;

create index reproduction_by_run on reproduction (run_id);
