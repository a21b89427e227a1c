-- Runs of a second kind, which make one variant and evaluate nothing; and what compressing does to
-- each layer, written while the work goes on, so that whoever looks sees the same. Writing a
-- report twice is the same as writing it once.

alter table run add column kind text not null default 'evaluation'
    check (kind in ('evaluation', 'compression'));

-- One compressed weight of one job.
create table layer_report (
    layer_report_id integer primary key,
    job_id          integer not null references job (job_id),
    name            text    not null,
    body            text    not null check (json_valid(body)),
    unique (job_id, name)
) strict;
