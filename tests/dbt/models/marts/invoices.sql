{{ config(materialized='incremental', unique_key='invoice_no') }}

select
    lines.invoice_no,
    max(lines.ordered_at) as ordered_at,
    max(lines.country) as country,
    max(countries.region) as region,
    count(*) as lines,
    sum(lines.amount) as amount
from {{ ref('stg_order_lines') }} as lines
left join {{ ref('stg_countries') }} as countries on lines.country = countries.country
{% if var('until', none) %}
where lines.ordered_at < cast('{{ var("until") }}' as timestamp)
{% endif %}
{% if is_incremental() %}
{% if var('until', none) %} and {% else %} where {% endif %}
lines.ordered_at >= (select max(ordered_at) from {{ this }})
{% endif %}
group by lines.invoice_no
