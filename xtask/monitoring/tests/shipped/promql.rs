//! What a PromQL expression selects.

use std::convert::Infallible;
use std::time::Duration;

use promql_parser::label::Matcher;
use promql_parser::parser::{Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

/// One selector of an expression.
pub struct Selected {
    /// The selector itself, without range and offset.
    pub text: String,
    /// The name of the metric.
    pub name: String,
    /// What its labels must be.
    pub matchers: Vec<Matcher>,
    /// The function that takes its range, and the range: of a selector that has one.
    pub function: Option<String>,
    /// See [`Selected::function`].
    pub range: Option<Duration>,
}

impl Selected {
    /// Whether its name is that of a counter, or of a part of a histogram that is one.
    pub fn is_counter(&self) -> bool {
        ["_total", "_bucket", "_count", "_sum"].iter().any(|end| self.name.ends_with(end))
    }

    fn new(selector: &VectorSelector) -> Self {
        let now = VectorSelector { offset: None, at: None, ..selector.clone() };
        Self {
            text: now.to_string(),
            name: selector.name.clone().unwrap_or_default(),
            matchers: selector.matchers.matchers.clone(),
            function: None,
            range: None,
        }
    }
}

/// All selectors in `expression`.
pub fn selected(expression: &Expr) -> Vec<Selected> {
    let mut found = Found(Vec::new());
    let Ok(_) = walk_expr(&mut found, expression);
    found.0
}

struct Found(Vec<Selected>);

impl ExprVisitor for Found {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.0.push(Selected::new(selector)),
            Expr::Call(call) => {
                for argument in &call.args.args {
                    if let Expr::MatrixSelector(matrix) = argument.as_ref() {
                        self.0.push(Selected {
                            function: Some(call.func.name.to_owned()),
                            range: Some(matrix.range),
                            ..Selected::new(&matrix.vs)
                        });
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

#[test]
fn every_selector_of_an_expression_is_found() {
    let expression =
        promql_parser::parser::parse("sum(rate(a_total{x=\"1\"}[5m])) / b + c offset 1m").unwrap();
    let found = selected(&expression);
    let names: Vec<_> =
        found.iter().map(|one| (one.name.as_str(), one.function.as_deref())).collect();
    assert_eq!(names, [("a_total", Some("rate")), ("b", None), ("c", None)]);
    assert_eq!(found[0].range, Some(Duration::from_secs(300)));
    assert_eq!((found[0].matchers[0].name.as_str(), found[0].is_counter()), ("x", true));
    assert_eq!((found[0].text.as_str(), found[2].text.as_str()), ("a_total{x=\"1\"}", "c"));
}
