//! Functions from texts and whole numbers to one text.
//!
//! Guarantees: null in, null out; an error names the function.
//! Left out: functions of other shapes.

use arrow_array::builder::{BooleanBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What one row comes to; the error is the reason alone.
pub(super) type TextFunction = fn(&[&str]) -> Result<Option<String>, String>;
/// The same for a yes or no.
pub(super) type TestFunction = fn(&[&str]) -> Result<Option<bool>, String>;

/// The function's body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    Text(TextFunction),
    Test(TestFunction),
}

/// A function of texts.
#[derive(Debug)]
struct Function {
    name: &'static str,
    signature: Signature,
    body: Body,
}

// The name says which function it is; DataFusion compares functions when it compares expressions.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// A function of `arguments` texts; whole numbers are taken as their text.
pub(super) fn function(name: &'static str, arguments: usize, body: Body) -> Arc<ScalarUDF> {
    let signature = Signature::one_of(
        vec![TypeSignature::Exact(vec![DataType::Utf8; arguments])],
        Volatility::Immutable,
    );
    Arc::new(ScalarUDF::from(Function { name, signature, body }))
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.body {
            Body::Text(_) => DataType::Utf8,
            Body::Test(_) => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = Rows { name: self.name, columns: &columns };
        let array: ArrayRef = match self.body {
            Body::Text(body) => {
                let mut builder = StringBuilder::new();
                rows.each(body, |value| builder.append_option(value))?;
                Arc::new(builder.finish())
            }
            Body::Test(body) => {
                let mut builder = BooleanBuilder::new();
                rows.each(body, |value| builder.append_option(value))?;
                Arc::new(builder.finish())
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

struct Rows<'a> {
    name: &'static str,
    columns: &'a [ArrayRef],
}

impl Rows<'_> {
    fn each<T>(
        &self,
        body: impl Fn(&[&str]) -> Result<Option<T>, String>,
        mut append: impl FnMut(Option<T>),
    ) -> Result<()> {
        let texts: Vec<_> = self.columns.iter().map(|column| column.as_string::<i32>()).collect();
        let mut row = Vec::with_capacity(texts.len());
        for index in 0..texts.first().map_or(0, |text| text.len()) {
            row.clear();
            row.extend(
                texts.iter().filter(|text| text.is_valid(index)).map(|text| text.value(index)),
            );
            if row.len() < texts.len() {
                append(None);
                continue;
            }
            match body(&row) {
                Ok(value) => append(value),
                Err(reason) => return exec_err!("{}: {reason}", self.name),
            }
        }
        Ok(())
    }
}
