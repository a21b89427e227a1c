-- What is known of an answer beyond its verdict, and the problems that no answer was asked for.
alter table completion_score add column detail text not null default '{}' check (json_valid(detail));

-- A problem that a variant was not asked in a run, for example because its own solution fails.
create table excluded_problem (
    excluded_problem_id integer primary key,
    run_id     integer not null references run (run_id),
    variant_id integer not null references variant (variant_id),
    suite      text    not null,
    problem_id text    not null,
    reason     text    not null,
    unique (run_id, variant_id, suite, problem_id)
) strict;
