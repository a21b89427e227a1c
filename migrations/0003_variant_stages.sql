-- What the steps of a variant's recipe that make another model have done.
alter table variant add column stages text not null default '[]' check (json_valid(stages));
