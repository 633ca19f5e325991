//! Types: what an operator, a cast and a literal mean.
//!
//! Guarantees: a literal without a type takes that of what it meets, as in PostgreSQL; operators
//! are those of its catalogue, with or without `OPERATOR(pg_catalog. …)`.
//! Left out: calls, which are in `bind_call`.

use super::bind::{Binder, Result, Typed, not_ours, wrong};
use super::expr::{Arithmetic, Comparison, Expr, Operator};
use super::operators::{arithmetic, condition, escape, is_register};
use super::query::Query;
use super::types::Type;
use super::value::Value;
use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator as Binary, Subscript, UnaryOperator,
};
use std::sync::Arc;

/// The type that values of several types have together.
pub(super) fn common(types: &[Type]) -> Type {
    let mut known = types.iter().copied().filter(|ty| *ty != Type::UNKNOWN);
    let Some(first) = known.next() else { return Type::UNKNOWN };
    known.fold(first, |one, other| match (one, other) {
        (one, other) if one == other => one,
        (one, other) if one.is_number() && other.is_number() => {
            let order =
                [Type::INT2, Type::INT4, Type::INT8, Type::NUMERIC, Type::FLOAT4, Type::FLOAT8];
            let rank = |ty: Type| order.iter().position(|one| *one == ty);
            if rank(one) >= rank(other) { one } else { other }
        }
        (one, other) if one.is_text() && other.is_text() => Type::TEXT,
        (one, other) if one.is_text() && !other.is_text() => other,
        (one, _) => one,
    })
}

impl Binder {
    /// A value as one of another type.
    pub(super) fn coerce(&mut self, typed: Typed, to: Type) -> Result<Typed> {
        self.cast(typed, to, -1)
    }

    fn cast(&mut self, typed: Typed, to: Type, modifier: i32) -> Result<Typed> {
        let from = typed.ty;
        if (from == to && modifier < 0) || to == Type::ANY || to == Type::RECORD {
            return Ok(typed);
        }
        if let Expr::Parameter(at) = &typed.expr
            && from == Type::UNKNOWN
            && self.parameters[*at].is_none()
        {
            self.parameters[*at] = Some(if to == Type::UNKNOWN { Type::TEXT } else { to });
        }
        let is_literal = matches!(&typed.expr, Expr::Const(Value::Text(_)));
        if is_literal && from == Type::UNKNOWN && to.is_text() && to != Type::CHAR && modifier < 0 {
            return Ok(Typed::new(typed.expr, to));
        }
        if matches!(typed.expr, Expr::Const(Value::Null)) {
            return Ok(Typed::new(typed.expr, to));
        }
        let of = typed.expr.boxed();
        Ok(Typed { expr: Expr::Cast { of, from, to, modifier }, ty: to, fields: typed.fields })
    }

    pub(super) fn text(&mut self, typed: Typed) -> Result<Typed> {
        match typed.ty {
            Type::TEXT | Type::NAME | Type::VARCHAR => Ok(typed),
            _ => self.coerce(typed, Type::TEXT),
        }
    }

    pub(super) fn boolean(&mut self, of: &ast::Expr) -> Result<Expr> {
        let typed = self.expr(of)?;
        match typed.ty {
            Type::BOOL => Ok(typed.expr),
            Type::UNKNOWN => Ok(self.coerce(typed, Type::BOOL)?.expr),
            other => {
                wrong(format!("argument must be type boolean, not type {}", other.format(None)))
            }
        }
    }

    /// Two values as the same type, to be compared.
    pub(super) fn unified(&mut self, left: Typed, right: Typed) -> Result<(Typed, Typed)> {
        let (one, other) = (left.ty, right.ty);
        let both_whole = one.is_whole() && other.is_whole();
        let both_text = one.is_text() && other.is_text();
        let both_numbers = one.is_number() && other.is_number();
        if (one == other && one != Type::UNKNOWN) || both_whole || both_text || both_numbers {
            return Ok((left, right));
        }
        let both_arrays = one.element().is_some() && other.element().is_some();
        if both_arrays || one == Type::RECORD || other == Type::RECORD {
            return Ok((left, right));
        }
        let ty = match common(&[one, other]) {
            Type::UNKNOWN => Type::TEXT,
            known => known,
        };
        Ok((self.coerce(left, ty)?, self.coerce(right, ty)?))
    }

    /// Several values as the same type.
    pub(super) fn alike(&mut self, values: Vec<Typed>) -> Result<(Vec<Expr>, Type)> {
        let types: Vec<Type> = values.iter().map(|one| one.ty).collect();
        let ty = match common(&types) {
            Type::UNKNOWN => Type::TEXT,
            known => known,
        };
        let values = values.into_iter().map(|one| Ok(self.coerce(one, ty)?.expr));
        Ok((values.collect::<Result<_>>()?, ty))
    }

    pub(super) fn exprs(&mut self, of: &[ast::Expr]) -> Result<Vec<Typed>> {
        of.iter().map(|one| self.expr(one)).collect()
    }

    /// Reads an expression.
    pub(super) fn expr(&mut self, of: &ast::Expr) -> Result<Typed> {
        use ast::Expr as Ast;
        match of {
            Ast::Identifier(ident) => {
                let name = self.fold(ident);
                match ident.quote_style {
                    None if is_register(&name) => self.call(&name, Vec::new()),
                    _ => self.column(&[name]),
                }
            }
            Ast::CompoundIdentifier(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.fold(part)).collect();
                self.column(&parts)
            }
            Ast::Nested(inner) | Ast::Collate { expr: inner, .. } => self.expr(inner),
            Ast::Value(value) => self.literal(&value.value),
            Ast::TypedString(typed) => {
                let text = typed.value.value.clone().into_string().unwrap_or_default();
                self.named_cast(
                    Typed::new(Expr::Const(Value::text(text)), Type::UNKNOWN),
                    &typed.data_type,
                )
            }
            Ast::Cast { expr, data_type, .. } => {
                let typed = self.expr(expr)?;
                self.named_cast(typed, data_type)
            }
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(*op, expr),
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Array(array) => {
                let items = self.exprs(&array.elem)?;
                let (items, ty) = self.alike(items)?;
                Ok(Typed::new(Expr::Array(items), ty.array().unwrap_or(Type::TEXT_ARRAY)))
            }
            Ast::Tuple(items) => {
                let items = self.exprs(items)?;
                let fields =
                    (1..).zip(&items).map(|(at, one)| (format!("f{at}"), one.ty)).collect();
                let row = Expr::Row(items.into_iter().map(|one| one.expr).collect());
                Ok(Typed { expr: row, ty: Type::RECORD, fields: Some(fields) })
            }
            Ast::CompoundFieldAccess { root, access_chain } => {
                let mut typed = self.expr(root)?;
                for access in access_chain {
                    typed = self.access(typed, access)?;
                }
                Ok(typed)
            }
            Ast::Function(function) => self.function(function),
            _ => self.test(of),
        }
    }

    /// What says yes or no, with words for signs.
    fn test(&mut self, of: &ast::Expr) -> Result<Typed> {
        use ast::Expr as Ast;
        match of {
            Ast::IsNull(inner) => Ok(of_bool(Expr::IsNull(self.expr(inner)?.expr.boxed()))),
            Ast::IsNotNull(inner) => {
                let null = Expr::IsNull(self.expr(inner)?.expr.boxed());
                Ok(of_bool(Expr::Not(null.boxed())))
            }
            Ast::IsTrue(inner) => Ok(of_bool(Expr::Is(self.boolean(inner)?.boxed(), true))),
            Ast::IsFalse(inner) => Ok(of_bool(Expr::Is(self.boolean(inner)?.boxed(), false))),
            Ast::IsNotTrue(inner) => {
                let is = Expr::Is(self.boolean(inner)?.boxed(), true);
                Ok(of_bool(Expr::Not(is.boxed())))
            }
            Ast::IsNotFalse(inner) => {
                let is = Expr::Is(self.boolean(inner)?.boxed(), false);
                Ok(of_bool(Expr::Not(is.boxed())))
            }
            Ast::IsDistinctFrom(left, right) => self.distinct(left, right),
            Ast::IsNotDistinctFrom(left, right) => {
                let distinct = self.distinct(left, right)?;
                Ok(of_bool(Expr::Not(distinct.expr.boxed())))
            }
            Ast::Between { expr, negated, low, high } => self.between(expr, *negated, low, high),
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                let escape = escape(escape_char.as_ref());
                self.matched(
                    expr,
                    pattern,
                    Operator::Like { ignore_case: false, negated: *negated, escape },
                )
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char } => {
                let escape = escape(escape_char.as_ref());
                self.matched(
                    expr,
                    pattern,
                    Operator::Like { ignore_case: true, negated: *negated, escape },
                )
            }
            _ => self.expr_of_query(of),
        }
    }

    /// What holds a query or a list, and functions with a grammar of their own.
    fn expr_of_query(&mut self, of: &ast::Expr) -> Result<Typed> {
        use ast::Expr as Ast;
        match of {
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Ast::InSubquery { expr, subquery, negated } => {
                let is = Operator::Compare(Comparison::Eq);
                let within = self.quantified_query(expr, is, subquery, false)?;
                Ok(if *negated { of_bool(Expr::Not(within.expr.boxed())) } else { within })
            }
            Ast::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, false)
            }
            Ast::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right, true)
            }
            Ast::Exists { subquery, negated } => {
                let exists = Expr::Exists(Arc::new(self.query(subquery)?));
                Ok(of_bool(if *negated { Expr::Not(exists.boxed()) } else { exists }))
            }
            Ast::Subquery(query) => {
                let query = self.query(query)?;
                let [column] = &query.columns[..] else {
                    return wrong("subquery must return only one column");
                };
                let (ty, fields) = (column.ty, column.fields.clone());
                Ok(Typed { expr: Expr::Scalar(Arc::new(query)), ty, fields })
            }
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.expr(expr)?];
                match (substring_from, substring_for) {
                    (Some(from), _) => arguments.push(self.expr(from)?),
                    (None, _) => arguments.push(Typed::new(Expr::Const(Value::Int(1)), Type::INT4)),
                }
                if let Some(count) = substring_for {
                    arguments.push(self.expr(count)?);
                }
                self.call("substring", arguments)
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let what = trim_what.as_deref().or_else(|| trim_characters.as_ref()?.first());
                let mut arguments = vec![self.expr(expr)?];
                if let Some(what) = what {
                    arguments.push(self.expr(what)?);
                }
                self.call(name, arguments)
            }
            Ast::Position { expr, r#in } => {
                let arguments = vec![self.expr(r#in)?, self.expr(expr)?];
                self.call("strpos", arguments)
            }
            Ast::Ceil { expr, .. } => {
                let arguments = vec![self.expr(expr)?];
                self.call("ceil", arguments)
            }
            Ast::Floor { expr, .. } => {
                let arguments = vec![self.expr(expr)?];
                self.call("floor", arguments)
            }
            other => not_ours(format!("not supported in a question about the catalogue: {other}")),
        }
    }

    fn literal(&mut self, value: &ast::Value) -> Result<Typed> {
        let typed = |value, ty| Ok(Typed::new(Expr::Const(value), ty));
        match value {
            ast::Value::Null => typed(Value::Null, Type::UNKNOWN),
            ast::Value::Boolean(yes) => typed(Value::Bool(*yes), Type::BOOL),
            ast::Value::Number(number, _) => {
                let text = number.to_string();
                match (text.parse::<i64>(), text.parse::<f64>()) {
                    (Ok(number), _) if i32::try_from(number).is_ok() => {
                        typed(Value::Int(number), Type::INT4)
                    }
                    (Ok(number), _) => typed(Value::Int(number), Type::INT8),
                    (_, Ok(number)) => typed(Value::Float(number), Type::NUMERIC),
                    _ => wrong(format!("{text} is no number")),
                }
            }
            ast::Value::Placeholder(name) => {
                let at = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
                let Some(at) = at.and_then(|at| at.checked_sub(1)).filter(|at| *at < 65_535) else {
                    return wrong(format!("{name} is no parameter: they are $1, $2, …"));
                };
                if self.parameters.len() <= at {
                    self.parameters.resize(at + 1, None);
                }
                Ok(Typed::new(Expr::Parameter(at), self.parameters[at].unwrap_or(Type::UNKNOWN)))
            }
            other => match other.clone().into_string() {
                Some(text) => typed(Value::text(text), Type::UNKNOWN),
                None => {
                    not_ours(format!("not supported in a question about the catalogue: {other}"))
                }
            },
        }
    }

    fn named_cast(&mut self, typed: Typed, data_type: &ast::DataType) -> Result<Typed> {
        match Type::named(&data_type.to_string()) {
            Some((ty, modifier)) => self.cast(typed, ty, modifier),
            None => not_ours(format!("type \"{data_type}\" does not exist")),
        }
    }

    fn distinct(&mut self, left: &ast::Expr, right: &ast::Expr) -> Result<Typed> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let (left, right) = self.unified(left, right)?;
        Ok(of_bool(Expr::Distinct(left.expr.boxed(), right.expr.boxed())))
    }

    fn between(
        &mut self,
        of: &ast::Expr,
        negated: bool,
        low: &ast::Expr,
        high: &ast::Expr,
    ) -> Result<Typed> {
        let from = self.compare(of, low, Comparison::Ge)?;
        let to = self.compare(of, high, Comparison::Le)?;
        let inside = Expr::And(from.boxed(), to.boxed());
        Ok(of_bool(if negated { Expr::Not(inside.boxed()) } else { inside }))
    }

    fn compare(&mut self, left: &ast::Expr, right: &ast::Expr, by: Comparison) -> Result<Expr> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let (left, right) = self.unified(left, right)?;
        Ok(Expr::Operator(Operator::Compare(by), left.expr.boxed(), right.expr.boxed()))
    }

    fn matched(&mut self, of: &ast::Expr, pattern: &ast::Expr, by: Operator) -> Result<Typed> {
        let (of, pattern) = (self.expr(of)?, self.expr(pattern)?);
        let (of, pattern) = (self.text(of)?, self.text(pattern)?);
        Ok(of_bool(Expr::Operator(by, of.expr.boxed(), pattern.expr.boxed())))
    }

    fn in_list(&mut self, of: &ast::Expr, list: &[ast::Expr], negated: bool) -> Result<Typed> {
        let left = self.expr(of)?;
        let mut items = Vec::new();
        let mut left_expr = left.expr.clone();
        for one in list {
            let one = self.expr(one)?;
            let (left, one) = self.unified(left.clone(), one)?;
            left_expr = left.expr;
            items.push(one.expr);
        }
        let within = Expr::In(left_expr.boxed(), items);
        Ok(of_bool(if negated { Expr::Not(within.boxed()) } else { within }))
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        arms: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Typed> {
        let (mut whens, mut thens) = (Vec::new(), Vec::new());
        for arm in arms {
            whens.push(match operand {
                Some(operand) => self.compare(operand, &arm.condition, Comparison::Eq)?,
                None => self.boolean(&arm.condition)?,
            });
            thens.push(self.expr(&arm.result)?);
        }
        if let Some(otherwise) = otherwise {
            thens.push(self.expr(otherwise)?);
        }
        let (mut thens, ty) = self.alike(thens)?;
        let otherwise = if otherwise.is_some() { thens.pop() } else { None };
        let arms = whens.into_iter().zip(thens).collect();
        Ok(Typed::new(Expr::Case { arms, otherwise: otherwise.map(Expr::boxed) }, ty))
    }

    fn access(&mut self, typed: Typed, access: &AccessExpr) -> Result<Typed> {
        match access {
            AccessExpr::Dot(ast::Expr::Identifier(ident)) => {
                let name = self.fold(ident);
                let fields = typed.fields.clone().unwrap_or_default();
                match fields.iter().position(|(field, _)| *field == name) {
                    Some(at) => Ok(Typed::new(Expr::Field(typed.expr.boxed(), at), fields[at].1)),
                    None => wrong(format!("column \"{name}\" not found in data type record")),
                }
            }
            AccessExpr::Subscript(Subscript::Index { index }) => {
                let Some(element) = typed.ty.element() else {
                    return wrong(format!("cannot subscript type {}", typed.ty.format(None)));
                };
                let index = self.expr(index)?;
                let index = self.coerce(index, Type::INT4)?.expr.boxed();
                let first = i64::from(!typed.ty.is_vector());
                let array = typed.expr.boxed();
                Ok(Typed::new(Expr::Subscript { array, index, first }, element))
            }
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                let mut bound = |of: &Option<ast::Expr>| -> Result<Option<Box<Expr>>> {
                    of.as_ref().map(|of| Ok(self.expr(of)?.expr.boxed())).transpose()
                };
                let (from, to) = (bound(lower_bound)?, bound(upper_bound)?);
                let array = typed.expr.boxed();
                Ok(Typed::new(Expr::Slice { array, from, to }, typed.ty))
            }
            _ => not_ours("this access to a part is not read here"),
        }
    }

    fn unary(&mut self, operator: UnaryOperator, of: &ast::Expr) -> Result<Typed> {
        match operator {
            UnaryOperator::Not => Ok(of_bool(Expr::Not(self.boolean(of)?.boxed()))),
            UnaryOperator::Plus => self.expr(of),
            UnaryOperator::Minus => {
                let of = self.expr(of)?;
                let ty = of.ty;
                let zero = Expr::Const(Value::Int(0)).boxed();
                let minus = Expr::Arithmetic(Arithmetic::Subtract, zero, of.expr.boxed(), ty);
                Ok(Typed::new(minus, ty))
            }
            _ => not_ours("this operator is not read here"),
        }
    }

    fn binary(&mut self, left: &ast::Expr, operator: &Binary, right: &ast::Expr) -> Result<Typed> {
        match operator {
            Binary::And => {
                let (left, right) = (self.boolean(left)?, self.boolean(right)?);
                return Ok(of_bool(Expr::And(left.boxed(), right.boxed())));
            }
            Binary::Or => {
                let (left, right) = (self.boolean(left)?, self.boolean(right)?);
                return Ok(of_bool(Expr::Or(left.boxed(), right.boxed())));
            }
            _ => {}
        }
        if let Some(operator) = condition(operator) {
            if let Operator::Compare(_)
            | Operator::Overlaps
            | Operator::Contains
            | Operator::Contained = operator
            {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                let (left, right) = self.unified(left, right)?;
                return Ok(of_bool(Expr::Operator(
                    operator,
                    left.expr.boxed(),
                    right.expr.boxed(),
                )));
            }
            return self.matched(left, right, operator);
        }
        let Some(arithmetic) = arithmetic(operator) else {
            return not_ours(format!("operator {operator} is not read here"));
        };
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        if arithmetic == Arithmetic::Concat {
            return self.concat(left, right);
        }
        let ty = match common(&[left.ty, right.ty]) {
            Type::UNKNOWN => Type::INT4,
            known => known,
        };
        let (left, right) = (self.literal_as(left, ty)?, self.literal_as(right, ty)?);
        Ok(Typed::new(Expr::Arithmetic(arithmetic, left.expr.boxed(), right.expr.boxed(), ty), ty))
    }

    /// A literal that has no type yet as one of that type; anything else as it is.
    fn literal_as(&mut self, typed: Typed, ty: Type) -> Result<Typed> {
        if typed.ty == Type::UNKNOWN { self.coerce(typed, ty) } else { Ok(typed) }
    }

    fn concat(&mut self, left: Typed, right: Typed) -> Result<Typed> {
        let array = |typed: &Typed| typed.ty.element().is_some() && !typed.ty.is_vector();
        let one = |item: Typed| Typed::new(Expr::Array(vec![item.expr]), item.ty);
        let (left, right, ty) = match (array(&left), array(&right)) {
            (false, false) => {
                let (left, right) = (self.text(left)?, self.text(right)?);
                let concat = Expr::Arithmetic(
                    Arithmetic::Concat,
                    left.expr.boxed(),
                    right.expr.boxed(),
                    Type::TEXT,
                );
                return Ok(Typed::new(concat, Type::TEXT));
            }
            (true, true) => {
                let ty = left.ty;
                (left, right, ty)
            }
            (true, false) => {
                let ty = left.ty;
                (left, one(right), ty)
            }
            (false, true) => {
                let ty = right.ty;
                (one(left), right, ty)
            }
        };
        Ok(Typed::new(
            Expr::Arithmetic(Arithmetic::Join, left.expr.boxed(), right.expr.boxed(), ty),
            ty,
        ))
    }

    fn quantified(
        &mut self,
        left: &ast::Expr,
        operator: &Binary,
        right: &ast::Expr,
        all: bool,
    ) -> Result<Typed> {
        let Some(operator) = condition(operator) else {
            return not_ours(format!("operator {operator} is not read here"));
        };
        let mut inner = right;
        while let ast::Expr::Nested(next) = inner {
            inner = next;
        }
        if let ast::Expr::Subquery(query) = inner {
            return self.quantified_query(left, operator, query, all);
        }
        let (left, array) = (self.expr(left)?, self.expr(right)?);
        let array = match array.ty {
            Type::UNKNOWN => {
                let element = if left.ty == Type::UNKNOWN { Type::TEXT } else { left.ty };
                let ty = element.array().unwrap_or(Type::TEXT_ARRAY);
                self.coerce(array, ty)?
            }
            _ => array,
        };
        let Some(element) = array.ty.element() else {
            return wrong("op ANY/ALL (array) requires array on right side");
        };
        let left = self.literal_as(left, element)?;
        // An array of texts beside something that is none: its items are read as that.
        let array = match element.is_text() && !left.ty.is_text() {
            true => {
                let ty = left.ty.array().unwrap_or(array.ty);
                self.coerce(array, ty)?
            }
            false => array,
        };
        let (left, array) = (left.expr.boxed(), array.expr.boxed());
        Ok(of_bool(Expr::Quantified { left, operator, array, all }))
    }

    fn quantified_query(
        &mut self,
        left: &ast::Expr,
        operator: Operator,
        query: &ast::Query,
        all: bool,
    ) -> Result<Typed> {
        let lefts = match left {
            ast::Expr::Tuple(items) => self.exprs(items)?,
            one => vec![self.expr(one)?],
        };
        let mut query: Query = self.query(query)?;
        if query.columns.len() != lefts.len() {
            return wrong("subquery has another number of columns than its left side");
        }
        super::bind_query::finish(&mut query.columns);
        let mut left = Vec::new();
        for (one, column) in lefts.into_iter().zip(&query.columns) {
            let other = Typed::new(Expr::Const(Value::Null), column.ty);
            left.push(self.unified(one, other)?.0.expr);
        }
        Ok(of_bool(Expr::QuantifiedQuery { left, operator, query: Arc::new(query), all }))
    }
}

fn of_bool(expr: Expr) -> Typed {
    Typed::new(expr, Type::BOOL)
}
