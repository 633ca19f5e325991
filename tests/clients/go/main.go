// The command protocol of tests/clients (see README.md) with franz-go.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	arguments = map[string]string{}
	brokers   []string
	printing  sync.Mutex
)

func main() {
	brokers = []string{os.Args[1]}
	for _, argument := range os.Args[3:] {
		name, value, _ := strings.Cut(argument, "=")
		arguments[name] = value
	}
	commands := map[string]func(){
		"produce": produce, "consume": consume, "group": group, "transact": transact,
		"times": times, "admin": admin,
	}
	commands[os.Args[2]]()
}

func text(name, otherwise string) string {
	if value, found := arguments[name]; found {
		return value
	}
	return otherwise
}

func number(name string, otherwise int) int {
	value, err := strconv.Atoi(text(name, strconv.Itoa(otherwise)))
	must(err)
	return value
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(line any) {
	bytes, err := json.Marshal(line)
	must(err)
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(bytes))
}

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(100 * time.Millisecond),
	}, options...)...)
	must(err)
	return made
}

func records() []*kgo.Record {
	var made []*kgo.Record
	first := number("first", 0)
	for n := first; n < first+number("count", 1); n++ {
		digits := strconv.Itoa(n)
		made = append(made, &kgo.Record{
			Topic: text("topic", ""), Partition: int32(n % number("partitions", 1)),
			Key: []byte("k" + digits), Value: []byte("v" + digits),
			Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(digits)}},
		})
	}
	return made
}

func produce() {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20 * time.Millisecond),
		kgo.ProducerBatchCompression(codecs[text("compression", "none")]),
	}
	if text("idempotent", "false") == "false" {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()))
	}
	producer := client(options...)
	defer producer.Close()
	last := map[string]int64{}
	results := producer.ProduceSync(context.Background(), records()...)
	must(results.FirstErr())
	for _, result := range results {
		partition := strconv.Itoa(int(result.Record.Partition))
		last[partition] = max(last[partition], result.Record.Offset)
	}
	say(map[string]any{"acked": len(results), "last": last})
}

func tell(record *kgo.Record) {
	var n any
	for _, header := range record.Headers {
		if header.Key == "n" {
			n = string(header.Value)
		}
	}
	optional := func(bytes []byte) any {
		if bytes == nil {
			return nil
		}
		return string(bytes)
	}
	say(map[string]any{"partition": record.Partition, "offset": record.Offset,
		"key": optional(record.Key), "value": optional(record.Value), "n": n})
}

func consume() {
	topic := text("topic", "")
	isolation := kgo.ReadUncommitted()
	committed := text("isolation", "read_uncommitted") == "read_committed"
	if committed {
		isolation = kgo.ReadCommitted()
	}
	looker := client()
	list := kadm.NewClient(looker).ListEndOffsets
	if committed {
		list = kadm.NewClient(looker).ListCommittedOffsets
	}
	ends, err := list(context.Background(), topic)
	must(err)
	starts, err := kadm.NewClient(looker).ListStartOffsets(context.Background(), topic)
	must(err)
	looker.Close()
	left, end := map[int32]int64{}, map[string]int64{}
	from := map[int32]kgo.Offset{}
	ends.Each(func(one kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, one.Partition)
		if start.Offset < one.Offset {
			left[one.Partition] = one.Offset
		}
		from[one.Partition] = kgo.NewOffset().AtStart()
		end[strconv.Itoa(int(one.Partition))] = one.Offset
	})
	// Markers of transactions are passed on as well: without them the end may never be seen.
	reader := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(isolation),
		kgo.KeepControlRecords())
	defer reader.Close()
	for len(left) > 0 {
		fetches := reader.PollFetches(context.Background())
		must(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			if !record.Attrs.IsControl() {
				tell(record)
			}
			if record.Offset+1 >= left[record.Partition] {
				delete(left, record.Partition)
			}
		})
	}
	say(map[string]any{"end": end})
}

func group() {
	assigned := map[int32]bool{}
	show := func() {
		partitions := make([]int32, 0, len(assigned))
		for partition := range assigned {
			partitions = append(partitions, partition)
		}
		slices.Sort(partitions)
		say(map[string]any{"assigned": partitions})
	}
	change := func(on bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			for _, partitions := range changed {
				for _, partition := range partitions {
					if on {
						assigned[partition] = true
					} else {
						delete(assigned, partition)
					}
				}
			}
			show()
		}
	}
	balancer := kgo.RangeBalancer()
	if text("assignor", "range") == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	options := []kgo.Opt{
		kgo.ConsumerGroup(text("group", "")), kgo.ConsumeTopics(text("topic", "")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.Balancers(balancer), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(time.Duration(number("session", 6_000)) * time.Millisecond),
		kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)),
		kgo.OnPartitionsLost(change(false)),
	}
	if id, found := arguments["static"]; found {
		options = append(options, kgo.InstanceID(id))
	}
	member := client(options...)
	asked, ask := context.WithCancel(context.Background())
	go func() {
		input := bufio.NewReader(os.Stdin)
		for {
			if _, err := input.ReadByte(); err != nil {
				ask()
				return
			}
		}
	}()
	for {
		fetches := member.PollFetches(asked)
		if asked.Err() != nil {
			break
		}
		fetches.EachRecord(tell)
		if fetches.NumRecords() > 0 {
			if err := member.CommitRecords(context.Background(), fetches.Records()...); err != nil {
				say(map[string]any{"not committed": fetches.NumRecords()})
			}
		}
		member.AllowRebalance()
	}
	member.CloseAllowingRebalance()
	say(map[string]any{"left": true})
}

func transact() {
	ctx := context.Background()
	producer := client(kgo.TransactionalID(text("id", "")),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionTimeout(time.Duration(number("timeout", 60_000))*time.Millisecond))
	defer producer.Close()
	fenced := func(err error) bool {
		if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
			say(map[string]any{"fenced": true})
			return true
		}
		must(err)
		return false
	}
	must(producer.BeginTransaction())
	if fenced(producer.ProduceSync(ctx, records()...).FirstErr()) {
		return
	}
	end := text("end", "commit")
	if end == "hang" {
		say(map[string]any{"open": true})
		input := bufio.NewReader(os.Stdin)
		for {
			if _, err := input.ReadByte(); err != nil {
				break
			}
		}
		end = "commit"
	}
	if !fenced(producer.EndTransaction(ctx, end == "commit")) {
		say(map[string]any{"ended": end})
	}
}

func times() {
	looker := client()
	defer looker.Close()
	at, err := strconv.ParseInt(text("at", "0"), 10, 64)
	must(err)
	topic := text("topic", "")
	listed, err := kadm.NewClient(looker).ListOffsetsAfterMilli(context.Background(), at, topic)
	must(err)
	found := map[string]int64{}
	listed.Each(func(one kadm.ListedOffset) {
		// Where nothing is as young the client gives the end, with no time.
		offset := one.Offset
		if one.Timestamp < 0 {
			offset = -1
		}
		found[strconv.Itoa(int(one.Partition))] = offset
	})
	say(map[string]any{"offsets": found})
}

func admin() {
	ctx, topic := context.Background(), text("topic", "")
	manual := client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer manual.Close()
	admin := kadm.NewClient(manual)
	outcome := func(name string, call func() (any, error)) {
		answer, err := call()
		var known *kerr.Error
		if errors.As(err, &known) {
			answer = known.Message
		} else {
			must(err)
		}
		say(map[string]any{"call": name, "answer": answer})
	}
	create := func(topic string, partitions int32, settings map[string]*string) func() (any, error) {
		return func() (any, error) {
			made, err := admin.CreateTopic(ctx, partitions, 1, settings, topic)
			if err == nil {
				err = made.Err
			}
			return nil, err
		}
	}
	retention, one := kadm.StringPtr("3600000"), kadm.StringPtr("1")
	grow := func(total int) func() (any, error) {
		return func() (any, error) {
			made, err := admin.UpdatePartitions(ctx, total, topic)
			if err == nil {
				err = made.Error()
			}
			return nil, err
		}
	}
	setting := func() (kadm.Config, error) {
		found, err := admin.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return kadm.Config{}, err
		}
		resource, err := found.On(topic, nil)
		if err != nil {
			return kadm.Config{}, err
		}
		for _, config := range resource.Configs {
			if config.Key == "retention.ms" {
				return config, resource.Err
			}
		}
		return kadm.Config{}, resource.Err
	}
	value := func() (any, error) {
		config, err := setting()
		return config.MaybeValue(), err
	}
	alter := func(change kadm.AlterConfig) error {
		done, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, topic)
		if err == nil {
			for _, response := range done {
				err = response.Err
			}
		}
		return err
	}
	set := func(value string) func() (any, error) {
		return func() (any, error) {
			return nil, alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: &value})
		}
	}
	before := func(offset int64) func() (any, error) {
		return func() (any, error) {
			var wanted kadm.Offsets
			wanted.Add(kadm.Offset{Topic: topic, Partition: 0, At: offset, LeaderEpoch: -1})
			done, err := admin.DeleteRecords(ctx, wanted)
			if err == nil {
				err = done.Error()
			}
			return nil, err
		}
	}
	offset := func(list func(context.Context, ...string) (kadm.ListedOffsets, error)) func() (any, error) {
		return func() (any, error) {
			listed, err := list(ctx, topic)
			found, _ := listed.Lookup(topic, 0)
			return found.Offset, err
		}
	}
	remove := func() (any, error) {
		done, err := admin.DeleteTopics(ctx, topic)
		if err == nil {
			err = done.Error()
		}
		return nil, err
	}
	outcome("create", create(topic, 2, map[string]*string{"retention.ms": retention}))
	outcome("create again", create(topic, 2, nil))
	outcome("create with a wrong setting", create(topic+"-x", 1, map[string]*string{"no.such": one}))
	outcome("create without partitions", create(topic+"-y", 0, nil))
	outcome("more partitions", grow(4))
	outcome("fewer partitions", grow(1))
	outcome("partitions", func() (any, error) {
		found, err := admin.ListTopics(ctx, topic)
		return len(found[topic].Partitions), err
	})
	outcome("retention", value)
	outcome("set retention", set("7200000"))
	outcome("set nonsense", set("soon"))
	outcome("retention now", value)
	outcome("default retention", func() (any, error) {
		if err := alter(kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"}); err != nil {
			return nil, err
		}
		config, err := setting()
		return config.Source.String(), err
	})
	arguments["count"], arguments["partitions"] = "8", "4"
	must(manual.ProduceSync(ctx, records()...).FirstErr())
	outcome("delete records", before(1))
	outcome("delete too many records", before(100))
	outcome("earliest", offset(admin.ListStartOffsets))
	outcome("latest", offset(admin.ListEndOffsets))
	outcome("groups", func() (any, error) {
		found, err := admin.ListGroups(ctx)
		count := 0
		for _, name := range found.Groups() {
			if strings.HasPrefix(name, topic) {
				count++
			}
		}
		return count, err
	})
	outcome("nodes", func() (any, error) {
		found, err := admin.ListBrokers(ctx)
		return len(found), err
	})
	outcome("delete", remove)
	outcome("delete again", remove)
}
