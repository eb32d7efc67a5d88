import { Model } from "@/features/models/components/model";

export default async function ModelPage({ params }: { params: Promise<{ id: string }> }) {
  const { id } = await params;
  return <Model id={id} />;
}
