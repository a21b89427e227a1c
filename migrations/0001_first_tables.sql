-- The tables of the first version: models and their variants, runs with their jobs and
-- manifests, and the results. Results are written while the run goes on, and their unique keys
-- make writing one twice the same as writing it once. Times are milliseconds since 1970 UTC.
-- Columns that hold JSON carry the wire types, so that a row reads the same everywhere.

-- A model file on this machine, verified against its digest. A removed model keeps its row, so
-- that the variants and results made from it stay readable.
create table model (
    model_id      integer primary key,
    name          text    not null unique,
    digest        text    not null check (length(digest) = 64),
    size_bytes    integer not null check (0 <= size_bytes),
    architecture  text,
    created_at_ms integer not null,
    removed_at_ms integer
) strict;

-- A packed artifact made from a model by a recipe.
create table variant (
    variant_id    integer primary key,
    model_id      integer not null references model (model_id),
    name          text    not null unique,
    recipe        text    not null check (json_valid(recipe)),
    digest        text    not null check (length(digest) = 64),
    size_bytes    integer not null check (0 <= size_bytes),
    n_parameters  integer not null check (0 <= n_parameters),
    layers        text    not null check (json_valid(layers)),
    created_at_ms integer not null,
    removed_at_ms integer
) strict;

create index variant_by_digest on variant (digest);
create index variant_by_model on variant (model_id);

-- One evaluation of one or more variants.
create table run (
    run_id         integer primary key autoincrement,
    title          text    not null,
    spec           text    not null check (json_valid(spec)),
    state          text    not null
        check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    error          text,
    hint           text,
    created_at_ms  integer not null,
    finished_at_ms integer
) strict;

-- All that is needed to do a run again. Written once: the triggers refuse every change.
create table manifest (
    run_id         integer primary key references run (run_id),
    format_version integer not null,
    body           text    not null check (json_valid(body))
) strict;

create trigger manifest_is_never_updated before update on manifest
begin
    select raise(abort, 'a manifest is written once');
end;

create trigger manifest_is_never_deleted before delete on manifest
begin
    select raise(abort, 'a manifest is written once');
end;

-- A unit of background work, done by one worker process. The owner is the process that
-- supervises the worker, or has set the job aside for itself; its start time (clock ticks since
-- boot) tells it from a later process with the same id. Jobs without a run belong to a command.
create table job (
    job_id            integer primary key autoincrement,
    run_id            integer references run (run_id),
    ordinal           integer not null check (0 <= ordinal),
    spec              text    not null check (json_valid(spec)),
    state             text    not null
        check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    n_attempts        integer not null default 0 check (0 <= n_attempts),
    n_interruptions   integer not null default 0 check (0 <= n_interruptions),
    worker_pid        integer,
    owner_pid         integer,
    owner_start_ticks integer,
    error             text,
    hint              text,
    created_at_ms     integer not null,
    started_at_ms     integer,
    finished_at_ms    integer,
    unique (run_id, ordinal)
) strict;

create index job_by_state on job (state);

-- One graded answer.
create table completion_score (
    completion_score_id integer primary key,
    run_id          integer not null references run (run_id),
    variant_id      integer not null references variant (variant_id),
    suite           text    not null,
    problem_id      text    not null,
    sample_idx      integer not null check (0 <= sample_idx),
    track           text    not null,
    verdict         text    not null,
    completion      text    not null,
    output          text    not null,
    n_prompt_tokens integer not null check (0 <= n_prompt_tokens),
    n_output_tokens integer not null check (0 <= n_output_tokens),
    finish_reason   text    not null check (finish_reason in ('stop', 'length')),
    ttft_ms         real    not null check (0 <= ttft_ms),
    tpot_ms         real    check (0 <= tpot_ms),
    grading_ms      real    not null check (0 <= grading_ms),
    created_at_ms   integer not null,
    unique (run_id, variant_id, suite, problem_id, sample_idx)
) strict;

-- A measurement of a whole variant in a run.
create table measurement (
    measurement_id integer primary key,
    run_id         integer not null references run (run_id),
    variant_id     integer not null references variant (variant_id),
    kind           text    not null check (kind in ('perplexity', 'performance')),
    format_version integer not null,
    body           text    not null check (json_valid(body)),
    created_at_ms  integer not null,
    unique (run_id, variant_id, kind)
) strict;

-- What workers and their supervisors had to say.
create table job_log (
    job_log_id integer primary key,
    job_id     integer not null references job (job_id),
    at_ms      integer not null,
    level      text    not null check (level in ('info', 'warning', 'error')),
    message    text    not null
) strict;

create index job_log_by_job on job_log (job_id, job_log_id);
