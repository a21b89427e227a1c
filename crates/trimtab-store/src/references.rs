//! What the references of a run's suites tell: written as a worker finds it out, and only once each.

use crate::database::{from_json, parsed, to_json};
use crate::{Store, StoreError};
use trimtab_domain::{ReferenceFinding, RunId, SuiteReferences};

const TABLE: &str = "reference_finding";

#[derive(sqlx::FromRow)]
struct Row {
    suite: String,
    suite_digest: String,
    problem_id: String,
    format_version: i64,
    body: String,
}

impl Store {
    /// Records what references tell; what is known of them already stays as it is.
    pub async fn put_references(
        &self,
        run_id: RunId,
        references: &SuiteReferences,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for finding in &references.findings {
            sqlx::query(
                "insert into reference_finding (
                     run_id, suite, suite_digest, problem_id, format_version, body)
                 values (?, ?, ?, ?, ?, ?)
                 on conflict (run_id, suite, suite_digest, problem_id) do nothing",
            )
            .bind(run_id.0)
            .bind(&references.suite)
            .bind(references.digest.as_str())
            .bind(&finding.problem_id)
            .bind(SuiteReferences::FORMAT_VERSION)
            .bind(to_json(&finding.outcome))
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.named(error))?;
        }
        self.commit(transaction).await
    }

    /// Forgets that references of a run did not pass, and the problems that were left out, unless an
    /// answer was graded: what failed may have been the machine, and can be mended before the run goes
    /// on. Once there are answers, all variants are held against the same problems.
    pub async fn forget_failed_references(&self, run_id: RunId) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for query in [
            "delete from reference_finding
             where run_id = ?1 and body ->> '$.kind' in ('broken', 'compiled')
               and not exists (select 1 from completion_score where run_id = ?1)",
            "delete from excluded_problem
             where run_id = ?1
               and not exists (select 1 from completion_score where run_id = ?1)",
        ] {
            sqlx::query(query)
                .bind(run_id.0)
                .execute(&mut *transaction)
                .await
                .map_err(|error| self.named(error))?;
        }
        self.commit(transaction).await
    }

    /// What is known of the references of a run, one entry a suite and digest.
    pub async fn references(&self, run_id: RunId) -> Result<Vec<SuiteReferences>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select suite, suite_digest, problem_id, format_version, body
             from reference_finding where run_id = ?
             order by suite, suite_digest, reference_finding_id",
        )
        .bind(run_id.0)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let mut known: Vec<SuiteReferences> = Vec::new();
        for row in rows {
            let version = row.format_version;
            if i64::from(SuiteReferences::FORMAT_VERSION) < version {
                return Err(StoreError::BadRow {
                    table: TABLE,
                    reason: format!("format version {version} is newer than this program"),
                });
            }
            let finding = ReferenceFinding {
                problem_id: row.problem_id,
                outcome: from_json(TABLE, &row.body)?,
            };
            let is_same = |last: &&mut SuiteReferences| {
                last.suite == row.suite && last.digest.as_str() == row.suite_digest
            };
            match known.last_mut().filter(is_same) {
                Some(last) => last.findings.push(finding),
                None => known.push(SuiteReferences {
                    digest: parsed(TABLE, row.suite_digest)?,
                    suite: row.suite,
                    findings: vec![finding],
                }),
            }
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{Bytes, ReferenceOutcome, Verdict};

    fn references(suite: &str, digest: char, findings: &[(&str, u64)]) -> SuiteReferences {
        let finding = |(problem_id, cpu_ms): &(&str, u64)| ReferenceFinding {
            problem_id: (*problem_id).to_owned(),
            outcome: ReferenceOutcome::Passed {
                cpu_ms: *cpu_ms,
                memory: Bytes(1 << 20),
                before_repair: vec![Verdict::Failed],
            },
        };
        SuiteReferences {
            suite: suite.to_owned(),
            digest: digest.to_string().repeat(64).parse().unwrap(),
            findings: findings.iter().map(finding).collect(),
        }
    }

    #[tokio::test]
    async fn the_first_word_about_a_reference_stays_and_belongs_to_its_run_and_digest() {
        let store = Store::in_memory().await.unwrap();
        for title in ["first", "second"] {
            sqlx::query(
                "insert into run (title, spec, state, created_at_ms) values (?, '{}', 'done', 0)",
            )
            .bind(title)
            .execute(&store.pool)
            .await
            .unwrap();
        }
        let put = async |run: i64, told: &SuiteReferences| {
            store.put_references(RunId(run), told).await.unwrap();
        };
        put(1, &references("s", 'a', &[("p", 10), ("q", 20)])).await;
        put(1, &references("s", 'a', &[("q", 99), ("r", 30)])).await;
        put(1, &references("s", 'b', &[("p", 7)])).await;
        put(2, &references("s", 'a', &[("p", 8)])).await;
        let known = store.references(RunId(1)).await.unwrap();
        let expected = [
            references("s", 'a', &[("p", 10), ("q", 20), ("r", 30)]),
            references("s", 'b', &[("p", 7)]),
        ];
        assert_eq!(known, expected);
        assert!(store.references(RunId(9)).await.unwrap().is_empty());
        let unknown = references("s", 'a', &[("p", 1)]);
        assert!(store.put_references(RunId(9), &unknown).await.is_err());

        let broken = SuiteReferences {
            findings: vec![ReferenceFinding {
                problem_id: "q".to_owned(),
                outcome: ReferenceOutcome::Broken {
                    verdict: Verdict::Crashed,
                    output: String::new(),
                },
            }],
            ..references("s", 'a', &[])
        };
        put(2, &broken).await;
        store.forget_failed_references(RunId(2)).await.unwrap();
        let known = store.references(RunId(2)).await.unwrap();
        assert_eq!(known, [references("s", 'a', &[("p", 8)])]);

        let newer = "update reference_finding set format_version = 2 where run_id = 2";
        sqlx::query(newer).execute(&store.pool).await.unwrap();
        let refused = store.references(RunId(2)).await.unwrap_err();
        assert!(refused.to_string().contains("newer than this program"));
    }
}
