-- What each worker of a job took of a graphics card; what its driver does not tell is null.
create table card_use (
    card_use_id       integer primary key,
    job_id            integer not null references job (job_id),
    attempt           integer not null check (1 <= attempt),
    seconds           real    not null check (0 <= seconds),
    energy_j          real    check (0 <= energy_j),
    peak_memory_bytes integer check (0 <= peak_memory_bytes),
    peak_memory_of    text    check (peak_memory_of in ('process', 'card')),
    n_others          integer check (0 <= n_others),
    check ((peak_memory_bytes is null) = (peak_memory_of is null)),
    unique (job_id, attempt)
) strict;
