//! Groups: of all time, or of windows.
//!
//! Guarantees: groups by `window_start` and `window_end` are windowed; straight over the window
//! function rows are not multiplied by their windows. Keys and arguments are computed once.

use super::super::needs::Need;
use super::super::times::{self, Role};
use super::super::window as window_tvf;
use super::super::{aggregate_types, errors, refusal};
use super::{Lowering, Made, Rows, Step, add_needs};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::logical_expr::expr::AggregateFunction as Call;
use datafusion::logical_expr::{self as logical, Expr, Extension, LogicalPlan, cast};
use std::sync::Arc;
use tradewind_dataflow::operator::{
    Aggregate, AggregateCall, AggregateFunction, WindowAggregate, Windows,
};
use tradewind_dataflow::{Hidden, OperatorKind, WindowSpec};
use tradewind_sql::{SqlError, type_name};

/// Columns computed before an operator with state.
pub(super) struct Before<'r> {
    rows: &'r Rows,
    pub(super) made: Vec<Made>,
    pub(super) fields: Vec<FieldRef>,
}

/// How an aggregate's rows are in windows.
enum Windowing {
    /// They are in none, or not grouped by them.
    None,
    /// The aggregate makes the windows, over this plan.
    Sliced(LogicalPlan, WindowSpec),
    /// The rows say which window they are in.
    Attached(WindowSpec),
}

impl<'r> Before<'r> {
    pub(super) fn new(rows: &'r Rows) -> Self {
        Self { rows, made: Vec::new(), fields: Vec::new() }
    }

    /// The place of an expression among the columns.
    pub(super) fn place(&mut self, expression: &Expr) -> Result<usize, SqlError> {
        let made = self.rows.made(expression)?;
        if let Some(place) = self.made.iter().position(|found| found.physical.eq(&made.physical)) {
            return Ok(place);
        }
        let name = match expression {
            Expr::Column(column) => column.name.clone(),
            _ => made.text.clone(),
        };
        self.fields.push(self.rows.field(&made, &name)?);
        self.made.push(made);
        Ok(self.made.len() - 1)
    }

    /// Rows without columns have something to be counted by.
    pub(super) fn or_constant(&mut self) {
        if self.made.is_empty() {
            self.fields.push(Arc::new(Field::new("one", DataType::Boolean, false)));
            self.made.push(Made::constant(true));
        }
    }
}

impl Lowering {
    pub(super) fn aggregate(
        &mut self,
        node: &logical::Aggregate,
        needs: Vec<Need>,
    ) -> Result<Rows, SqlError> {
        let groups = node.group_expr.len();
        let windowing = windowing(node)?;
        let plan = match &windowing {
            Windowing::Sliced(plan, _) => plan,
            _ => &*node.input,
        };
        let calls: Vec<(usize, &Call)> = (groups..needs.len())
            .filter(|index| needs[*index] != Need::Nothing)
            .map(|index| Ok((index, call_of(&node.aggr_expr[index - groups])?)))
            .collect::<Result<_, SqlError>>()?;
        let mut wanted = vec![Need::Nothing; plan.schema().fields().len()];
        let of_calls = calls
            .iter()
            .flat_map(|(_, call)| call.params.args.iter().chain(call.params.filter.as_deref()));
        let expressions = node.group_expr.iter().chain(of_calls);
        let expressions = expressions.map(|expression| (expression, &Need::Whole));
        add_needs(&mut wanted, plan.schema(), expressions)?;
        let input = self.node(plan, wanted)?;
        let mut before = Before::new(&input);
        match windowing {
            Windowing::None => {
                let mut keys = Vec::new();
                for group in &node.group_expr {
                    keys.push(key(&mut before, group)?);
                }
                let calls = arguments(&mut before, node, &calls)?;
                self.groups(before, keys, calls, node)
            }
            Windowing::Sliced(_, spec) | Windowing::Attached(spec) => {
                let sliced = matches!(windowing, Windowing::Sliced(..));
                self.windows(before, spec, sliced, node, &calls)
            }
        }
    }

    fn groups(
        &mut self,
        mut before: Before<'_>,
        keys: Vec<usize>,
        calls: Vec<(usize, AggregateCall)>,
        node: &logical::Aggregate,
    ) -> Result<Rows, SqlError> {
        if self.draft.hidden(before.rows.node).count() == 0 {
            before.or_constant();
        }
        let Before { rows, made, fields } = before;
        let updates = self.draft.hidden(rows.node).weight;
        let from = self.projection(rows.node, made, fields.clone())?;
        let mut columns: Vec<_> =
            keys.iter().enumerate().map(|(index, key)| (index, fields[*key].clone())).collect();
        columns.extend(result_columns(node, &calls));
        // A group without aggregates stays as it is as long as nothing is taken back.
        let hidden = if calls.is_empty() && !updates { Hidden::NONE } else { Hidden::CHANGES };
        let fields: Vec<_> = columns.iter().map(|(_, field)| field.clone()).collect();
        let schema = hidden.behind(&Schema::new(fields));
        let groups = keys.len();
        let calls = calls.into_iter().map(|(_, call)| call).collect();
        let step = Step::Other(OperatorKind::Aggregate(Aggregate { keys, calls }));
        let made = self.draft.add(step, vec![from], schema, hidden)?;
        Rows::new(made, columns, &node.schema, Some((0..groups).collect()))
    }

    fn windows(
        &mut self,
        mut before: Before<'_>,
        spec: WindowSpec,
        sliced: bool,
        node: &logical::Aggregate,
        calls: &[(usize, &Call)],
    ) -> Result<Rows, SqlError> {
        let WindowGroups { keys, bounds, places } = window_groups(&mut before, node, sliced)?;
        let calls = arguments(&mut before, node, calls)?;
        let lost = || refusal("the columns of the window were lost");
        let start = bounds[0].ok_or_else(lost)?;
        let end = if sliced { start } else { bounds[1].ok_or_else(lost)? };
        let time_type = match bounds[2] {
            _ if sliced => before.fields[start].data_type().clone(),
            Some(last) => before.fields[last].data_type().clone(),
            None => DataType::Timestamp(TimeUnit::Microsecond, None),
        };
        let windows = match sliced {
            true => Windows::Sliced { time: start, spec },
            false => Windows::Attached { start, end, spec },
        };
        let Before { rows, made, fields } = before;
        let from = self.projection(rows.node, made, fields.clone())?;
        let mut out: Vec<FieldRef> = keys.iter().map(|key| fields[*key].clone()).collect();
        let results = result_columns(node, &calls);
        out.extend(results.iter().map(|(_, field)| field.clone()));
        let first_bound = out.len();
        out.extend(super::window::window_fields(&time_type));
        let first_call = keys.len();
        let operator = WindowAggregate {
            keys,
            calls: calls.into_iter().map(|(_, call)| call).collect(),
            windows,
        };
        let schema = Hidden::NONE.behind(&Schema::new(out));
        let step = Step::Other(OperatorKind::WindowAggregate(operator));
        let made = self.draft.add(step, vec![from], schema, Hidden::NONE)?;
        let mut picks: Vec<(usize, usize)> = places
            .iter()
            .enumerate()
            .map(|(group, place)| match place {
                Ok(key) => (*key, group),
                Err(bound) => (first_bound + bound, group),
            })
            .collect();
        let results = results.iter().enumerate();
        picks.extend(results.map(|(number, (logical, _))| (first_call + number, *logical)));
        self.pick(made, &picks, &node.schema, Some((0..places.len()).collect()))
    }
}

/// What a window's groups are by.
struct WindowGroups {
    /// Columns of the input, those of the window left out.
    keys: Vec<usize>,
    /// The columns of the window's start, end and time, where they are needed.
    bounds: [Option<usize>; 3],
    /// For each group its place in what the operator gives: a key's number or a bound's.
    places: Vec<Result<usize, usize>>,
}

fn window_groups(
    before: &mut Before<'_>,
    node: &logical::Aggregate,
    sliced: bool,
) -> Result<WindowGroups, SqlError> {
    let roles = times::roles(&node.input);
    let (mut keys, mut bounds) = (Vec::new(), [None; 3]);
    let mut places = Vec::new();
    for group in &node.group_expr {
        let bound = match times::role_of(group, &node.input, &roles) {
            Role::Start => Some(0),
            Role::End => Some(1),
            Role::WindowTime => Some(2),
            _ => None,
        };
        match bound {
            Some(bound) => {
                // The event time stands for all three where the windows are made here.
                if !sliced || bound == 0 {
                    bounds[bound] = Some(before.place(group)?);
                }
                places.push(Err(bound));
            }
            None => {
                let key = key(before, group)?;
                let number = keys.iter().position(|found| *found == key);
                places.push(Ok(number.unwrap_or_else(|| {
                    keys.push(key);
                    keys.len() - 1
                })));
            }
        }
    }
    Ok(WindowGroups { keys, bounds, places })
}

/// Whether rows are grouped by their windows, and who makes those.
fn windowing(node: &logical::Aggregate) -> Result<Windowing, SqlError> {
    let roles = times::roles(&node.input);
    let role = |group: &Expr| times::role_of(group, &node.input, &roles);
    let has = |wanted| node.group_expr.iter().any(|group| role(group) == wanted);
    let spec = match roles.spec {
        Some(spec) if roles.has_window() && has(Role::Start) && has(Role::End) => spec,
        _ => return Ok(Windowing::None),
    };
    let touched = |expression: &Expr| times::touches_window(expression, &node.input, &roles);
    let untouched = node.group_expr.iter().all(|group| role(group).is_window() || !touched(group))
        && !node.aggr_expr.iter().any(touched);
    if untouched && let Some(plan) = sliced(&node.input)? {
        return Ok(Windowing::Sliced(plan, spec));
    }
    Ok(Windowing::Attached(spec))
}

/// The plan with its window function told to leave the windows to the aggregate above, if nothing
/// in between looks at them.
fn sliced(plan: &LogicalPlan) -> Result<Option<LogicalPlan>, SqlError> {
    if let Some(found) = window_tvf::of(plan) {
        let node = Arc::new(found.for_slices());
        return Ok(Some(LogicalPlan::Extension(Extension { node })));
    }
    let input = match plan {
        LogicalPlan::Projection(node) => &node.input,
        LogicalPlan::Filter(node) => &node.input,
        LogicalPlan::SubqueryAlias(node) => &node.input,
        _ => return Ok(None),
    };
    let roles = times::roles(input);
    let passes = |expression: &Expr| {
        let is_bound = matches!(plan, LogicalPlan::Projection(_))
            && times::role_of(expression, input, &roles).is_window();
        is_bound || !times::touches_window(expression, input, &roles)
    };
    let expressions = plan.expressions();
    if !expressions.iter().all(passes) {
        return Ok(None);
    }
    let Some(input) = sliced(input)? else { return Ok(None) };
    let changed = plan.with_new_exprs(expressions, vec![input]);
    changed.map(Some).map_err(|error| errors::from(&error))
}

fn key(before: &mut Before<'_>, group: &Expr) -> Result<usize, SqlError> {
    let place = before.place(group)?;
    let data_type = before.fields[place].data_type();
    match data_type.is_nested() {
        true => Err(refusal(format!("there are no groups of {}", type_name(data_type)))
            .hint("GROUP BY its fields")),
        false => Ok(place),
    }
}

fn call_of(expression: &Expr) -> Result<&Call, SqlError> {
    match expression {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::AggregateFunction(call) => Ok(call),
        other => Err(refusal(format!("{other} is no aggregate"))),
    }
}

/// The calls, their arguments and conditions computed before.
fn arguments(
    before: &mut Before<'_>,
    node: &logical::Aggregate,
    calls: &[(usize, &Call)],
) -> Result<Vec<(usize, AggregateCall)>, SqlError> {
    let mut made = Vec::new();
    for (index, call) in calls {
        let output = node.schema.field(*index).data_type();
        made.push((*index, argument(before, call, output)?));
    }
    Ok(made)
}

fn argument(
    before: &mut Before<'_>,
    call: &Call,
    output: &DataType,
) -> Result<AggregateCall, SqlError> {
    let name = call.func.name();
    let text = aggregate_types::text(name, &call.params);
    let Some(function) = aggregate_types::function(name) else {
        return Err(refusal(format!("{}() does not run in a stream", name.to_uppercase()))
            .hint("COUNT, SUM, MIN, MAX and AVG do"));
    };
    if !call.params.order_by.is_empty() || call.params.null_treatment.is_some() {
        return Err(refusal(format!("{text}: rows of a stream have no order to aggregate in")));
    }
    let (column, distinct) = match &call.params.args[..] {
        [Expr::Literal(value, _)]
            if function == AggregateFunction::Count
                && !value.is_null()
                && !call.params.distinct =>
        {
            (None, false)
        }
        [argument] => {
            let argument = converted(before, argument, function, output)?;
            let extreme = matches!(function, AggregateFunction::Min | AggregateFunction::Max);
            (Some(before.place(&argument)?), call.params.distinct && !extreme)
        }
        _ => {
            return Err(refusal(format!("{} takes one argument", name.to_uppercase()))
                .hint("several columns counted as one: put them into one text"));
        }
    };
    let filter = call.params.filter.as_deref().map(|filter| before.place(filter)).transpose()?;
    Ok(AggregateCall { function, argument: column, filter, distinct, output: output.clone(), text })
}

/// The argument in the type its sum is in; decimals keep theirs, and with it their scale.
fn converted(
    before: &Before<'_>,
    argument: &Expr,
    function: AggregateFunction,
    output: &DataType,
) -> Result<Expr, SqlError> {
    let made = before.rows.made(argument)?;
    let field = before.rows.field(&made, "argument")?;
    let summed = matches!(function, AggregateFunction::Sum | AggregateFunction::Avg);
    let fits = field.data_type() == output || matches!(field.data_type(), DataType::Decimal128(..));
    Ok(match summed && !fits {
        true => cast(argument.clone(), output.clone()),
        false => argument.clone(),
    })
}

fn result_columns(
    node: &logical::Aggregate,
    calls: &[(usize, AggregateCall)],
) -> Vec<(usize, FieldRef)> {
    let column = |(index, call): &(usize, AggregateCall)| {
        let name = node.schema.field(*index).name();
        let nullable = call.function != AggregateFunction::Count;
        (*index, Arc::new(Field::new(name, call.output.clone(), nullable)))
    };
    calls.iter().map(column).collect()
}
