//! By which labels an expression tells its values apart, and aggregates on the way.

use std::convert::Infallible;

use promql_parser::parser::{Expr, LabelModifier};
use promql_parser::util::{ExprVisitor, walk_expr};

/// The labels that tell the values of `expression` apart, as the words between underscores that they
/// are in the name of what is recorded; `None` if that takes knowing what labels a series has.
pub fn level(expression: &Expr) -> Option<Vec<String>> {
    match expression {
        Expr::Aggregate(aggregate) => match &aggregate.modifier {
            Some(LabelModifier::Include(labels)) => {
                Some(labels.labels.iter().flat_map(|label| words(label)).collect())
            }
            Some(LabelModifier::Exclude(_)) => None,
            None => Some(Vec::new()),
        },
        // Of several the last is what is calculated with: histogram_quantile(0.95, …).
        Expr::Call(call) => {
            let labels = level(call.args.args.last()?)?;
            let is_kept = |label: &String| call.func.name != "histogram_quantile" || label != "le";
            Some(labels.into_iter().filter(is_kept).collect())
        }
        Expr::Paren(inner) => level(&inner.expr),
        Expr::Binary(binary) => level(&binary.lhs),
        // What a rule has recorded says so in its name.
        Expr::VectorSelector(selector) => recorded(selector.name.as_deref()?),
        Expr::MatrixSelector(selector) => recorded(selector.vs.name.as_deref()?),
        _ => None,
    }
}

fn recorded(name: &str) -> Option<Vec<String>> {
    let (level, _) = name.split_once(':')?;
    Some(words(level))
}

/// The words of a label, or of a level, which is labels in a row.
pub fn words(labels: &str) -> Vec<String> {
    labels.split('_').map(str::to_owned).collect()
}

/// The labels by which `expression` aggregates and matches anywhere.
pub fn grouping(expression: &Expr) -> Vec<String> {
    let mut found = Found(Vec::new());
    let Ok(_) = walk_expr(&mut found, expression);
    found.0
}

struct Found(Vec<String>);

impl ExprVisitor for Found {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        let modifier = match expression {
            Expr::Aggregate(aggregate) => aggregate.modifier.as_ref(),
            Expr::Binary(binary) => binary.modifier.as_ref().and_then(|how| how.matching.as_ref()),
            _ => None,
        };
        self.0.extend(modifier.iter().flat_map(|modifier| modifier.labels().labels.clone()));
        Ok(true)
    }
}

#[test]
fn labels_are_found_wherever_they_are() {
    let written = "histogram_quantile(0.9, sum by (le, error_type) (rate(a_bucket[5m])))
        > on (job) b unless c";
    let expression = promql_parser::parser::parse(written).unwrap();
    assert_eq!(grouping(&expression), ["job", "le", "error_type"]);
    assert_eq!(level(&expression).unwrap(), ["error", "type"]);
    let recorded = promql_parser::parser::parse("avg_over_time(job_kind:a:rate5m[1h])").unwrap();
    assert_eq!(level(&recorded).unwrap(), ["job", "kind"]);
}
