select
    invoice_no,
    stock_code,
    quantity,
    ordered_at,
    cast(ordered_at as date) as ordered_on,
    unit_price,
    quantity * unit_price as amount,
    customer_id,
    country,
    case when quantity < 0 then 'refund' else 'sale' end as line_kind
from {{ ref('orders') }}
