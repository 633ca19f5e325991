//! Rows into their windows.

use super::super::needs::Need;
use super::super::window::WindowTvf;
use super::{Lowering, Made, Rows, Step, add_needs};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use std::sync::Arc;
use tradewind_dataflow::OperatorKind;
use tradewind_dataflow::operator::AssignWindow;
use tradewind_sql::SqlError;

impl Lowering {
    pub(super) fn window(&mut self, node: &WindowTvf, needs: Vec<Need>) -> Result<Rows, SqlError> {
        let before = node.input_columns();
        let (of_input, of_window) = needs.split_at(before);
        let mut wanted = of_input.to_vec();
        add_needs(&mut wanted, node.input.schema(), [(&node.time, &Need::Whole)])?;
        let input = self.node(&node.input, wanted)?;
        if node.sliced {
            return self.before_slices(node, &input, of_window);
        }
        let time = input.made(&node.time)?;
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        for (index, field) in &input.columns {
            columns.push((*index, field.clone()));
            fields.push(field.clone());
        }
        let time_place = match time.as_column() {
            Some(place) => place,
            None => return Err(super::refusal("a window's time is no column")),
        };
        let width = self.draft.width(input.node);
        debug_assert_eq!(width, fields.len(), "the time column is among them");
        for (position, field) in
            window_fields(&time_type(&input, time_place)).into_iter().enumerate()
        {
            columns.push((before + position, field.clone()));
            fields.push(field);
        }
        let hidden = self.draft.hidden(input.node);
        let schema = hidden.behind(&Schema::new(fields));
        let assign = AssignWindow { time: time_place, spec: node.spec };
        let step = Step::Other(OperatorKind::AssignWindow(assign));
        let assigned = self.draft.add(step, vec![input.node], schema, hidden)?;
        Rows::new(assigned, columns, node.columns(), None)
    }

    /// The event time in place of each column of the window: the aggregate above makes windows.
    fn before_slices(
        &mut self,
        node: &WindowTvf,
        input: &Rows,
        of_window: &[Need],
    ) -> Result<Rows, SqlError> {
        let time = input.made(&node.time)?;
        let (mut made, mut fields, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (index, field)) in input.columns.iter().enumerate() {
            made.push(Made::column(field.name(), place));
            fields.push(field.clone());
            columns.push((*index, field.clone()));
        }
        for (position, need) in of_window.iter().enumerate() {
            if *need != Need::Nothing {
                let name = super::window_tvf::COLUMNS[position];
                let field = input.field(&time, name)?;
                made.push(time.clone());
                fields.push(field.clone());
                columns.push((node.input_columns() + position, field));
            }
        }
        let node_before = self.projection(input.node, made, fields)?;
        Rows::new(node_before, columns, node.columns(), None)
    }
}

fn time_type(rows: &Rows, place: usize) -> DataType {
    rows.schema.field(place).data_type().clone()
}

/// The columns of windows over an event time of some type.
pub(super) fn window_fields(time: &DataType) -> [FieldRef; 3] {
    let bound = DataType::Timestamp(TimeUnit::Microsecond, None);
    let [start, end, last] = super::window_tvf::COLUMNS;
    [
        Arc::new(Field::new(start, bound.clone(), false)),
        Arc::new(Field::new(end, bound, false)),
        Arc::new(Field::new(last, time.clone(), false)),
    ]
}
