-- What the reference solutions of a run's suites tell, so that they are graded once a run and all its
-- variants are held against the same. The digest is that of the suite as it was used.
create table reference_finding (
    reference_finding_id integer primary key,
    run_id         integer not null references run (run_id),
    suite          text    not null,
    suite_digest   text    not null check (length(suite_digest) = 64),
    problem_id     text    not null,
    format_version integer not null,
    body           text    not null check (json_valid(body)),
    unique (run_id, suite, suite_digest, problem_id)
) strict;
