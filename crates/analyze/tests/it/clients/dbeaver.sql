-- What DBeaver 25 sends (org.jkiss.dbeaver.ext.postgresql of dbeaver/dbeaver, and logs in issues).
-- Columns and rows are what PostgreSQL 15.18 answers; where it could not be the same, the reason is said (pg_database has a column of 16, attmissingval a type).

-- # session
-- columns: "current_schema" name, "session_user" name
-- rows: 1
-- = ["public", "tradewind"]
SELECT current_schema(),session_user

-- # database
-- $1: "tradewind"
-- columns: "oid" oid, "oid" oid, "datname" name, "datdba" oid, "encoding" integer, "datlocprovider" "char", "datistemplate" boolean, "datallowconn" boolean, "datconnlimit" integer, "datfrozenxid" xid, "datminmxid" xid, "dattablespace" oid, "datcollate" text, "datctype" text, "daticulocale" text, "daticurules" text, "datcollversion" text, "datacl" aclitem[]
SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datname=$1

-- # databases
-- columns: "oid" oid, "oid" oid, "datname" name, "datdba" oid, "encoding" integer, "datlocprovider" "char", "datistemplate" boolean, "datallowconn" boolean, "datconnlimit" integer, "datfrozenxid" xid, "datminmxid" xid, "dattablespace" oid, "datcollate" text, "datctype" text, "daticulocale" text, "daticurules" text, "datcollversion" text, "datacl" aclitem[]
SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate ORDER BY db.datname

-- # settings
-- $1: "standard_conforming_strings"
-- columns: "name" text, "setting" text, "unit" text, "category" text, "short_desc" text, "extra_desc" text, "context" text, "vartype" text, "source" text, "min_val" text, "max_val" text, "enumvals" text[], "boot_val" text, "reset_val" text, "sourcefile" text, "sourceline" integer, "pending_restart" boolean
-- rows: not compared, other settings
select * from pg_catalog.pg_settings where name=$1

-- # version
-- columns: "version" text
-- rows: not compared, another server
SELECT version()

-- # keywords
-- columns: "string_agg" text
-- rows: 1
-- = ["abort,access,add,admin,after,aggregate,all,also,alter,always,analyse,analyze,and,any,array,as,asc,asensitive,assertion,assignment,asymmetric,at,atomic,attach,attribute,authorization,backward,before,begin,between,bigint,binary,bit,boolean,both,breadth,by,cache,call,called,cascade,cascaded,case,cast,catalog,chain,char,character,characteristics,check,checkpoint,class,close,cluster,coalesce,collate,collation,column,columns,comment,comments,commit,committed,compression,concurrently,configuration,conflict,connection,constraint,constraints,content,continue,conversion,copy,cost,create,cross,csv,cube,current,current_catalog,current_date,current_role,current_schema,current_time,current_timestamp,current_user,cursor,cycle,data,database,day,deallocate,dec,decimal,declare,default,defaults,deferrable,deferred,definer,delete,delimiter,delimiters,depends,depth,desc,detach,dictionary,disable,discard,distinct,do,document,domain,double,drop,each,else,enable,encoding,encrypted,end,enum,escape,event,except,exclude,excluding,exclusive,execute,exists,explain,expression,extension,external,extract,false,family,fetch,filter,finalize,first,float,following,for,force,foreign,forward,freeze,from,full,function,functions,generated,global,grant,granted,greatest,group,grouping,groups,handler,having,header,hold,hour,identity,if,ilike,immediate,immutable,implicit,import,in,include,including,increment,index,indexes,inherit,inherits,initially,inline,inner,inout,input,insensitive,insert,instead,int,integer,intersect,interval,into,invoker,is,isnull,isolation,join,key,label,language,large,last,lateral,leading,leakproof,least,left,level,like,limit,listen,load,local,localtime,localtimestamp,location,lock,locked,logged,mapping,match,matched,materialized,maxvalue,merge,method,minute,minvalue,mode,month,move,name,names,national,natural,nchar,new,next,nfc,nfd,nfkc,nfkd,no,none,normalize,normalized,not,nothing,notify,notnull,nowait,null,nullif,nulls,numeric,object,of,off,offset,oids,old,on,only,operator,option,options,or,order,ordinality,others,out,outer,over,overlaps,overlay,overriding,owned,owner,parallel,parameter,parser,partial,partition,passing,password,placing,plans,policy,position,preceding,precision,prepare,prepared,preserve,primary,prior,privileges,procedural,procedure,procedures,program,publication,quote,range,read,real,reassign,recheck,recursive,ref,references,referencing,refresh,reindex,relative,release,rename,repeatable,replace,replica,reset,restart,restrict,return,returning,returns,revoke,right,role,rollback,rollup,routine,routines,row,rows,rule,savepoint,schema,schemas,scroll,search,second,security,select,sequence,sequences,serializable,server,session,session_user,set,setof,sets,share,show,similar,simple,skip,smallint,snapshot,some,sql,stable,standalone,start,statement,statistics,stdin,stdout,storage,stored,strict,strip,subscription,substring,support,symmetric,sysid,system,table,tables,tablesample,tablespace,temp,template,temporary,text,then,ties,time,timestamp,to,trailing,transaction,transform,treat,trigger,trim,true,truncate,trusted,type,types,uescape,unbounded,uncommitted,unencrypted,union,unique,unknown,unlisten,unlogged,until,update,user,using,vacuum,valid,validate,validator,value,values,varchar,variadic,varying,verbose,version,view,views,volatile,when,where,whitespace,window,with,within,without,work,wrapper,write,xml,xmlattributes,xmlconcat,xmlelement,xmlexists,xmlforest,xmlnamespaces,xmlparse,xmlpi,xmlroot,xmlserialize,xmltable,yes"]
select string_agg(word, ',') from pg_catalog.pg_get_keywords() where word <> ALL ('{a,abs,absolute,action,year,zone}'::text[])

-- # probe pg_enum
-- columns: "oid" oid, "enumtypid" oid, "enumsortorder" real, "enumlabel" name
-- rows: 0
SELECT * FROM pg_catalog.pg_enum WHERE 1<>1 LIMIT 1

-- # probe reltype
-- columns: "reltype" oid
-- rows: 0
SELECT reltype FROM pg_catalog.pg_class WHERE 1<>1 LIMIT 1

-- # data types
-- columns: "oid" oid, "oid" oid, "typname" name, "typnamespace" oid, "typowner" oid, "typlen" smallint, "typbyval" boolean, "typtype" "char", "typcategory" "char", "typispreferred" boolean, "typisdefined" boolean, "typdelim" "char", "typrelid" oid, "typsubscript" regproc, "typelem" oid, "typarray" oid, "typinput" regproc, "typoutput" regproc, "typreceive" regproc, "typsend" regproc, "typmodin" regproc, "typmodout" regproc, "typanalyze" regproc, "typalign" "char", "typstorage" "char", "typnotnull" boolean, "typbasetype" oid, "typtypmod" integer, "typndims" integer, "typcollation" oid, "typdefaultbin" pg_node_tree, "typdefault" text, "typacl" aclitem[], "relkind" "char", "base_type_name" text, "description" text
SELECT t.oid,t.*,c.relkind,format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name, d.description
FROM pg_catalog.pg_type t
LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid=t.typelem 
LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid=t.typrelid
LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid
WHERE t.typname IS NOT NULL
AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C')

-- # schemas
-- columns: "oid" oid, "oid" oid, "nspname" name, "nspowner" oid, "nspacl" aclitem[], "description" text
SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass
 ORDER BY nspname

-- # relations of a schema
-- $1: "2200"
-- columns: "oid" oid, "oid" oid, "relname" name, "relnamespace" oid, "reltype" oid, "reloftype" oid, "relowner" oid, "relam" oid, "relfilenode" oid, "reltablespace" oid, "relpages" integer, "reltuples" real, "relallvisible" integer, "reltoastrelid" oid, "relhasindex" boolean, "relisshared" boolean, "relpersistence" "char", "relkind" "char", "relnatts" smallint, "relchecks" smallint, "relhasrules" boolean, "relhastriggers" boolean, "relhassubclass" boolean, "relrowsecurity" boolean, "relforcerowsecurity" boolean, "relispopulated" boolean, "relreplident" "char", "relispartition" boolean, "relrewrite" oid, "relfrozenxid" xid, "relminmxid" xid, "relacl" aclitem[], "reloptions" text[], "relpartbound" pg_node_tree, "description" text, "partition_expr" text, "partition_key" text
SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,  pg_catalog.pg_get_partkeydef(c.oid) as partition_key 
FROM pg_catalog.pg_class c
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_class'::regclass
WHERE c.relnamespace=$1 AND c.relkind not in ('i','I','c')

-- # sizes
-- $1: "2200"
-- columns: "oid" oid, "total_rel_size" bigint, "rel_size" bigint
select c.oid,pg_catalog.pg_total_relation_size(c.oid) as total_rel_size,pg_catalog.pg_relation_size(c.oid) as rel_size
FROM pg_class c
WHERE c.relnamespace=$1

-- # columns
-- $1: "{orders}"
-- columns: "relname" name, "attrelid" oid, "attname" name, "atttypid" oid, "attstattarget" integer, "attlen" smallint, "attnum" smallint, "attndims" integer, "attcacheoff" integer, "atttypmod" integer, "attbyval" boolean, "attalign" "char", "attstorage" "char", "attcompression" "char", "attnotnull" boolean, "atthasdef" boolean, "atthasmissing" boolean, "attidentity" "char", "attgenerated" "char", "attisdropped" boolean, "attislocal" boolean, "attinhcount" integer, "attcollation" oid, "attacl" aclitem[], "attoptions" text[], "attfdwoptions" text[], "attmissingval" text[], "def_value" text, "description" text, "objid" oid
SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description,dep.objid
FROM pg_catalog.pg_attribute a
INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid)
LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum)
LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid)
LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid
WHERE NOT a.attisdropped AND c.relkind not in ('i','I','c') AND c.oid=$1
ORDER BY a.attnum

-- # constraints
-- $1: "{orders}"
-- columns: "oid" oid, "oid" oid, "conname" name, "connamespace" oid, "contype" "char", "condeferrable" boolean, "condeferred" boolean, "convalidated" boolean, "conrelid" oid, "contypid" oid, "conindid" oid, "conparentid" oid, "confrelid" oid, "confupdtype" "char", "confdeltype" "char", "confmatchtype" "char", "conislocal" boolean, "coninhcount" integer, "connoinherit" boolean, "conkey" smallint[], "confkey" smallint[], "conpfeqop" oid[], "conppeqop" oid[], "conffeqop" oid[], "confdelsetcols" smallint[], "conexclop" oid[], "conbin" pg_node_tree, "tabrelname" name, "refnamespace" oid, "description" text, "consrc_copy" text
SELECT c.oid,c.*,t.relname as tabrelname,rt.relnamespace as refnamespace,d.description, pg_catalog.pg_get_constraintdef(c.oid) as consrc_copy
FROM pg_catalog.pg_constraint c
INNER JOIN pg_catalog.pg_class t ON t.oid=c.conrelid
LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid=c.confrelid
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_constraint'::regclass
WHERE c.conrelid=$1
ORDER BY c.oid

-- # indexes
-- $1: "{orders}"
-- columns: "indexrelid" oid, "indrelid" oid, "indnatts" smallint, "indnkeyatts" smallint, "indisunique" boolean, "indnullsnotdistinct" boolean, "indisprimary" boolean, "indisexclusion" boolean, "indimmediate" boolean, "indisclustered" boolean, "indisvalid" boolean, "indcheckxmin" boolean, "indisready" boolean, "indislive" boolean, "indisreplident" boolean, "indkey" int2vector, "indcollation" oidvector, "indclass" oidvector, "indoption" int2vector, "indexprs" pg_node_tree, "indpred" pg_node_tree, "keys" int2vector, "relname" name, "relnamespace" oid, "relam" oid, "reltablespace" oid, "tabrelname" name, "description" text, "pred_expr" text, "expr" text, "index_rel_size" bigint, "index_num_scans" bigint
SELECT i.*,i.indkey as keys,c.relname,c.relnamespace,c.relam,c.reltablespace,tc.relname as tabrelname,dsc.description,pg_catalog.pg_get_expr(i.indpred, i.indrelid) as pred_expr,pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) as expr,pg_catalog.pg_relation_size(i.indexrelid) as index_rel_size,pg_catalog.pg_stat_get_numscans(i.indexrelid) as index_num_scans
FROM pg_catalog.pg_index i
INNER JOIN pg_catalog.pg_class c ON c.oid=i.indexrelid
INNER JOIN pg_catalog.pg_class tc ON tc.oid=i.indrelid
LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid=dsc.objoid
WHERE i.indrelid=$1 ORDER BY tabrelname, c.relname

-- # view source
-- $1: "recent_orders"
-- columns: "pg_get_viewdef" text
-- rows: not compared, views are shown as they were written
SELECT pg_catalog.pg_get_viewdef($1, true)

-- # inheritance
-- $1: "{orders}"
-- columns: "inhrelid" oid, "inhparent" oid, "inhseqno" integer, "inhdetachpending" boolean, "relnamespace" oid
-- rows: 0
SELECT i.*,c.relnamespace FROM pg_catalog.pg_inherits i,pg_catalog.pg_class c WHERE i.inhrelid=$1 AND c.oid=i.inhparent ORDER BY i.inhseqno

-- # roles
-- columns: "oid" oid, "rolname" name, "rolsuper" boolean, "rolinherit" boolean, "rolcreaterole" boolean, "rolcreatedb" boolean, "rolcanlogin" boolean, "rolreplication" boolean, "rolconnlimit" integer, "rolpassword" text, "rolvaliduntil" timestamp with time zone, "rolbypassrls" boolean, "rolconfig" text[], "oid" oid, "description" text
SELECT a.oid,a.*,pd.description FROM pg_catalog.pg_roles a LEFT JOIN pg_catalog.pg_shdescription pd ON a.oid = pd.objoid WHERE a.rolname = 'tradewind' ORDER BY a.rolname

-- # tablespaces
-- columns: "oid" oid, "oid" oid, "spcname" name, "spcowner" oid, "spcacl" aclitem[], "spcoptions" text[], "loc" text
SELECT t.oid,t.*,pg_tablespace_location(t.oid) loc FROM pg_catalog.pg_tablespace t ORDER BY t.oid

-- # extensions
-- columns: "oid" oid, "oid" oid, "extname" name, "extowner" oid, "extnamespace" oid, "extrelocatable" boolean, "extversion" text, "extconfig" oid[], "extcondition" text[], "tbls" text[], "schema_name" name
-- rows: 0
SELECT e.oid,e.*,cfg.tbls, n.nspname as schema_name FROM pg_catalog.pg_extension e join pg_namespace n on n.oid = e.extnamespace left join (select ARRAY_AGG(ns.nspname || '.' ||  cls.relname) tbls, oid_ext from (select unnest(e1.extconfig) oid , e1.oid oid_ext from pg_catalog.pg_extension e1 ) c join pg_class cls on cls.oid = c.oid join pg_namespace ns on ns.oid = cls.relnamespace group by oid_ext) cfg on cfg.oid_ext = e.oid WHERE e.extname = 'none' ORDER BY e.oid

-- # rights
-- $1: "public"
-- $2: "none"
-- columns: "grantor" name, "grantee" name, "table_catalog" name, "table_schema" name, "table_name" name, "privilege_type" character varying, "is_grantable" character varying, "with_hierarchy" character varying
-- rows: 0
SELECT * FROM information_schema.table_privileges WHERE table_schema=$1 AND table_name=$2 ORDER BY grantee
