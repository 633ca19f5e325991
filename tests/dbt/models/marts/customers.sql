select
    customer_id,
    min(ordered_at) as first_order_at,
    count(distinct invoice_no) as invoices,
    sum(amount) as net
from {{ ref('stg_order_lines') }}
where customer_id is not null
group by customer_id
