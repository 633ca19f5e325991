select country, region from {{ ref('countries') }}
