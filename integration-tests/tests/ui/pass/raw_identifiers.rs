//! Columns and fields named like keywords.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    nodes (r#type) {
        #[sql_name = "type"]
        r#type -> Integer,
        #[sql_name = "match"]
        kind -> Text,
        r#move -> Integer,
        #[sql_name = "fn"]
        r#fn -> Text,
    }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = nodes, primary_key(r#type))]
#[cache_fields(r#match, (r#fn, steps))]
#[sane_repr(r#match)]
struct Node {
    r#type: i32,
    #[diesel(column_name = kind)]
    r#match: String,
    #[diesel(column_name = "move")]
    steps: i32,
    r#fn: String,
}

fn main() {
    let node = Tracked::new(Node { r#type: 1, r#match: "a".into(), steps: 2, r#fn: "f".into() });
    assert_eq!(node.repr(), r#"<Node: type=1, match="a">"#);
    assert_eq!(Node::NAME, "Node");
    assert_eq!(Node::COLUMNS, ["type", "match", "move", "fn"]);
    let _ = Node::create().r#type(1).r#match("a").steps(F(nodes::r#move) + 1).r#fn("f");
}
