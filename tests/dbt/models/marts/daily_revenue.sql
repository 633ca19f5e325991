select
    ordered_on,
    count(distinct invoice_no) as invoices,
    sum(case when line_kind = 'sale' then amount else 0 end) as gross,
    sum(amount) as net
from {{ ref('stg_order_lines') }}
group by ordered_on
