//! Calls: scalar functions, aggregates, windows and sets.
//!
//! Guarantees: of functions of one name the one is taken whose arguments fit without a cast, else
//! the first of that many arguments; a literal becomes what it is passed as.
//! Left out: functions that only DataFusion knows. A question that calls one is planned there.

use super::bind::{Binder, Refused, Result, Typed, not_ours, wrong};
use super::bind_query::sort;
use super::expr::{Arithmetic, Expr, Special};
use super::functions::{self, Argument, Function};
use super::query::{Aggregate, Calculation, Key, Ranking, SetCall, Sort, Window};
use super::sets::Set;
use super::types::Type;
use super::value::Value;
use crate::error::AnalyzeError;
use datafusion::sql::sqlparser::ast::{
    self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, OrderByExpr, WindowType,
};
use std::sync::Arc;

impl Binder {
    /// Reads a call.
    pub(super) fn function(&mut self, of: &ast::Function) -> Result<Typed> {
        let parts = self.parts(&of.name);
        let (name, schema) = parts.split_last().expect("a name has a part");
        if schema
            .iter()
            .any(|one| !["pg_catalog", "information_schema", "public"].contains(&one.as_str()))
        {
            return not_ours(format!("function {}() does not exist", parts.join(".")));
        }
        let list = match &of.args {
            FunctionArguments::None => return self.call(name, Vec::new()),
            FunctionArguments::Subquery(query) if name == "array" => {
                let query = self.query(query)?;
                let ty = match query.columns.first() {
                    Some(column) if column.ty != Type::UNKNOWN => column.ty,
                    _ => Type::TEXT,
                };
                let array = ty.array().unwrap_or(Type::TEXT_ARRAY);
                return Ok(Typed::new(Expr::Collect(Arc::new(query)), array));
            }
            FunctionArguments::Subquery(query) => {
                let scalar = self.expr(&ast::Expr::Subquery(query.clone()))?;
                return self.call(name, vec![scalar]);
            }
            FunctionArguments::List(list) => list,
        };
        let arguments = self.arguments(&list.args)?;
        if let Some(over) = &of.over {
            return self.window(name, arguments, over);
        }
        match calculation(name) {
            Some(calculation) => self.aggregate(calculation, arguments, list, of.filter.as_deref()),
            None => self.call(name, arguments),
        }
    }

    /// Reads the arguments of a call; `*` is none.
    pub(super) fn arguments(&mut self, of: &[FunctionArg]) -> Result<Vec<Typed>> {
        let mut arguments = Vec::new();
        for one in of {
            match one {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    arguments.push(self.expr(expr)?)
                }
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
                FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. } => {
                    arguments.push(self.expr(expr)?);
                }
                _ => return not_ours("this kind of argument is not read here"),
            }
        }
        Ok(arguments)
    }

    /// A call of a function that is no aggregate.
    pub(super) fn call(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Typed> {
        if let Some(special) = special(name) {
            return self.special(special, arguments);
        }
        if let Some(set) = Set::named(name) {
            return self.set(set, arguments);
        }
        if let ("array_upper" | "array_lower", Some(true)) =
            (name, arguments.first().map(|one| one.ty.is_vector()))
        {
            return self.vector_bound(name, arguments);
        }
        let named = functions::named(name).unwrap_or_default();
        let fits = |function: &&Function| function.arguments.len() == arguments.len();
        let exact = |function: &&Function| {
            fits(function)
                && function.arguments.iter().zip(&arguments).all(|(wanted, given)| match wanted {
                    Argument::Of(ty) => {
                        *ty == given.ty
                            || (ty.is_text() && given.ty.is_text())
                            || (ty.is_whole() && given.ty.is_whole())
                    }
                    _ => true,
                })
        };
        let Some(function) = named.iter().find(exact).or_else(|| named.iter().find(fits)) else {
            return not_ours(format!("function {name}() does not exist"));
        };
        let types: Vec<Type> = arguments.iter().map(|one| one.ty).collect();
        let mut bound = Vec::new();
        for (wanted, given) in function.arguments.iter().zip(arguments) {
            bound.push(match wanted {
                Argument::Of(ty) if ty.is_text() && given.ty.is_text() => given.expr,
                Argument::Of(ty) if ty.is_whole() && given.ty.is_whole() => given.expr,
                Argument::Of(ty) => self.coerce(given, *ty)?.expr,
                _ if given.ty == Type::UNKNOWN => self.coerce(given, Type::TEXT)?.expr,
                _ => given.expr,
            });
        }
        let ty = match function.result {
            Argument::Of(ty) => ty,
            Argument::Same(at) => types[at],
            Argument::Any => Type::TEXT,
        };
        Ok(Typed::new(Expr::Call(function, bound), ty))
    }

    /// What looks like a function and whose arguments decide its type.
    fn special(&mut self, special: Special, arguments: Vec<Typed>) -> Result<Typed> {
        let (arguments, ty) = match special {
            Special::Coalesce | Special::Greatest | Special::Least => self.alike(arguments)?,
            Special::NullIf => {
                let [left, right] = <[Typed; 2]>::try_from(arguments)
                    .map_err(|_| Refused::Wrong(AnalyzeError::user("nullif takes two values")))?;
                let (left, right) = self.unified(left, right)?;
                let ty = left.ty;
                (vec![left.expr, right.expr], ty)
            }
            Special::JsonObject => {
                (arguments.into_iter().map(|one| one.expr).collect(), Type::JSON)
            }
            Special::ArrayToString => {
                let mut bound = Vec::new();
                for (at, one) in arguments.into_iter().enumerate() {
                    let ty = if at == 0 { Type::TEXT_ARRAY } else { Type::TEXT };
                    bound.push(self.coerce(one, ty)?.expr);
                }
                (bound, Type::TEXT)
            }
            Special::Concat | Special::ConcatWs | Special::Format => {
                let texts = arguments.into_iter().map(|one| Ok(self.text(one)?.expr));
                (texts.collect::<Result<_>>()?, Type::TEXT)
            }
        };
        Ok(Typed::new(Expr::Special(special, arguments), ty))
    }

    /// The bounds of an `int2vector`, which begins at 0.
    fn vector_bound(&mut self, name: &str, mut arguments: Vec<Typed>) -> Result<Typed> {
        arguments[0].ty = Type::INT2_ARRAY;
        let bound = self.call(name, arguments)?;
        let one = Expr::Const(Value::Int(1)).boxed();
        let less = Expr::Arithmetic(Arithmetic::Subtract, bound.expr.boxed(), one, Type::INT4);
        Ok(Typed::new(less, Type::INT4))
    }

    /// The arguments of a set, a literal as an array where one is wanted.
    pub(super) fn set_arguments(&mut self, set: Set, arguments: Vec<Typed>) -> Result<Vec<Typed>> {
        let wanted = match set {
            Set::Series => Type::INT4,
            Set::Unnest | Set::Subscripts | Set::Expand | Set::Options => Type::TEXT_ARRAY,
            Set::Keywords | Set::Rights | Set::Split => Type::TEXT,
        };
        let given = arguments.into_iter().enumerate().map(|(at, one)| match (at, one.ty) {
            (0, Type::UNKNOWN) => self.coerce(one, wanted),
            (_, Type::UNKNOWN) if wanted == Type::TEXT => self.coerce(one, Type::TEXT),
            (_, Type::UNKNOWN) => self.coerce(one, Type::INT4),
            _ => Ok(one),
        });
        given.collect()
    }

    fn set(&mut self, set: Set, arguments: Vec<Typed>) -> Result<Typed> {
        let arguments = self.set_arguments(set, arguments)?;
        let types: Vec<Type> = arguments.iter().map(|one| one.ty).collect();
        let columns = set.columns(&types);
        let arguments = arguments.into_iter().map(|one| one.expr).collect();
        let sets = &mut self.level().sets;
        sets.push(SetCall { set, arguments, types });
        let expr = Expr::Set(sets.len() - 1);
        Ok(match &columns[..] {
            [(_, only)] => Typed::new(expr, *only),
            several => {
                let fields = several.iter().map(|(name, ty)| ((*name).to_string(), *ty)).collect();
                Typed { expr, ty: Type::RECORD, fields: Some(fields) }
            }
        })
    }

    fn aggregate(
        &mut self,
        calculation: Calculation,
        arguments: Vec<Typed>,
        list: &ast::FunctionArgumentList,
        filter: Option<&ast::Expr>,
    ) -> Result<Typed> {
        let (arguments, ty) = self.calculated(calculation, arguments)?;
        let mut order = Vec::new();
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(by) => order = self.sorts(by)?,
                _ => return not_ours("this clause of an aggregate is not read here"),
            }
        }
        let filter = filter.map(|filter| self.boolean(filter)).transpose()?;
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let aggregates = &mut self.level().aggregates;
        aggregates.push(Aggregate { calculation, arguments, distinct, order, filter });
        Ok(Typed::new(Expr::Aggregate(aggregates.len() - 1), ty))
    }

    /// The arguments of an aggregate and its type.
    fn calculated(
        &mut self,
        calculation: Calculation,
        arguments: Vec<Typed>,
    ) -> Result<(Vec<Expr>, Type)> {
        let first = arguments.first().map_or(Type::UNKNOWN, |one| one.ty);
        if arguments.is_empty() && calculation != Calculation::Count {
            return wrong("the aggregate wants an argument");
        }
        let text = matches!(calculation, Calculation::Text | Calculation::JsonArray)
            || first == Type::UNKNOWN;
        let mut bound = Vec::new();
        for one in arguments {
            bound.push(if text { self.text(one)?.expr } else { one.expr });
        }
        let first = if text { Type::TEXT } else { first };
        let ty = match calculation {
            Calculation::Count => Type::INT8,
            Calculation::Sum if first.is_integer() => Type::INT8,
            Calculation::Sum | Calculation::Average => Type::FLOAT8,
            Calculation::Min | Calculation::Max => first,
            Calculation::Array => first.array().unwrap_or(Type::TEXT_ARRAY),
            Calculation::Text => Type::TEXT,
            Calculation::And | Calculation::Or => Type::BOOL,
            Calculation::JsonArray => Type::JSON,
        };
        Ok((bound, ty))
    }

    fn sorts(&mut self, by: &[OrderByExpr]) -> Result<Vec<Sort>> {
        let one = |one: &OrderByExpr| Ok(sort(Key::Expr(self.expr(&one.expr)?.expr), &one.options));
        by.iter().map(one).collect()
    }

    fn window(&mut self, name: &str, arguments: Vec<Typed>, over: &WindowType) -> Result<Typed> {
        let WindowType::WindowSpec(over) = over else {
            return not_ours("a named window is not read here");
        };
        let (ranking, arguments, ty) = match name {
            "row_number" => (Ranking::RowNumber, Vec::new(), Type::INT8),
            "rank" => (Ranking::Rank, Vec::new(), Type::INT8),
            "dense_rank" => (Ranking::DenseRank, Vec::new(), Type::INT8),
            _ => match calculation(name) {
                // With an order an aggregate runs, which is not done here.
                Some(calculation) if over.order_by.is_empty() && over.window_frame.is_none() => {
                    let (arguments, ty) = self.calculated(calculation, arguments)?;
                    (Ranking::Of(calculation), arguments, ty)
                }
                _ => return not_ours(format!("window function {name}() is not read here")),
            },
        };
        let partition = self.exprs(&over.partition_by)?.into_iter().map(|one| one.expr).collect();
        let order = self.sorts(&over.order_by)?;
        let windows = &mut self.level().windows;
        windows.push(Window { ranking, arguments, partition, order });
        Ok(Typed::new(Expr::Window(windows.len() - 1), ty))
    }
}

fn calculation(name: &str) -> Option<Calculation> {
    Some(match name {
        "count" => Calculation::Count,
        "sum" => Calculation::Sum,
        "avg" => Calculation::Average,
        "min" => Calculation::Min,
        "max" => Calculation::Max,
        "array_agg" => Calculation::Array,
        "string_agg" => Calculation::Text,
        "bool_and" | "every" => Calculation::And,
        "bool_or" => Calculation::Or,
        "json_agg" | "jsonb_agg" => Calculation::JsonArray,
        _ => return None,
    })
}

fn special(name: &str) -> Option<Special> {
    Some(match name {
        "coalesce" => Special::Coalesce,
        "nullif" => Special::NullIf,
        "greatest" => Special::Greatest,
        "least" => Special::Least,
        "concat" => Special::Concat,
        "concat_ws" => Special::ConcatWs,
        "format" => Special::Format,
        "array_to_string" => Special::ArrayToString,
        "json_build_object" | "jsonb_build_object" => Special::JsonObject,
        _ => return None,
    })
}
